"""The asset register: which data and systems there are, who answers for them, and what they tell of an incident."""
