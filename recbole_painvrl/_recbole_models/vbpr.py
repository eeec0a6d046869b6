from recbole_painvrl.model.vbpr import VBPR  # noqa: F401
