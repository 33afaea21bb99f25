"""What happened: incidents, facts, grades, alert intake, and the record that everything is written in."""
