"""How long a solve would take on more workers than there are: a model, calibrated here."""
