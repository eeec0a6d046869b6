from recbole_painvrl.model.painvrl import PaInvRL  # noqa: F401
