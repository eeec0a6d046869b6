from recbole_painvrl.model.mmgcn import MMGCN  # noqa: F401
