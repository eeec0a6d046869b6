from recbole_painvrl.model.ultragcn import UltraGCN  # noqa: F401
