"""A breach that people in Germany must be told of, and two of them, for tests."""

FACTS = {
    "event_kinds": ["personal_data_breach"],
    "data_classes": ["personal", "health"],
    "data_events": ["leaked"],
    "persons_affected": 2,
    "persons_by_country": {"DE": 2},
    "countries": ["DE"],
    "risk_to_persons": "high",
    "direct_loss": {"CNY": 0},
}
CSV = b"name,phone,email,language,country\nAnna Weber,,anna@example.org,en,DE\nBen Novak,,ben@example.org,en,DE\n"
