"""The duties of an incident as the record has them."""
