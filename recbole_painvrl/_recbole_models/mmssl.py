from recbole_painvrl.model.mmssl import MMSSL  # noqa: F401
