from recbole_painvrl.model.invrl import InvRL  # noqa: F401
