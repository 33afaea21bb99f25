"""How far each campaign has come: who was told and who was not."""
