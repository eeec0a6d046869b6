"""Bounds and choices of the settings of RecBole's general recommenders.

RecBole declares defaults only: an unknown choice silently selects the last branch of its code, and
an impossible number, such as 2.5 layers, is truncated or fails late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, create_model

from recbole_painvrl.config.base import Settings
from recbole_painvrl.errors import UserError

_Count = Annotated[int, Field(ge=1)]
_CountOrNone = Annotated[int, Field(ge=0)]
_Weight = Annotated[float, Field(ge=0)]
_Positive = Annotated[float, Field(gt=0)]
_Fraction = Annotated[float, Field(ge=0, le=1)]
# Dropping everything would leave nothing to train on.
_Dropped = Annotated[float, Field(ge=0, lt=1)]
_Counts = list[_Count]
_Weights = list[_Weight]
_Activation = Literal["sigmoid", "tanh", "relu", "leakyrelu", "none"]

_BY_TYPE: dict[Any, tuple[str, ...]] = {
    _Count: (
        *("embedding_size", "user_embedding_size", "item_embedding_size", "ui_embedding_size"),
        *("neigh_embedding_size", "mf_embedding_size", "mlp_embedding_size", "weight_size"),
        *("hidden_dimension", "latent_dimension", "gcn_output_dim", "rank", "k", "kfac"),
        *("n_factors", "n_iterations", "n_cate", "hyper_layers", "num_clusters", "m_step"),
        *("class_num", "num_basis_functions", "num_conv_kernel", "conv_kernel_size"),
        *("pool_kernel_size", "neigh_num", "history_len", "history_num_per_term", "steps"),
        *("n_enc_epochs", "n_dec_epochs", "total_anneal_steps", "anneal_steps"),
        *("vae_anneal_steps", "metrics_k", "pretrain_epochs", "save_step"),
    ),
    _CountOrNone: ("n_layers", "sampling_steps", "split_to", "warm_up_step"),
    _Weight: (
        *("reg_weight", "reg_weight_1", "reg_weight_2", "cor_weight", "ssl_weight", "ssl_reg"),
        *("proto_reg", "negative_weight", "second_order_loss_weight", "lambda1", "lambda2"),
        *("lamda", "anneal_cap", "vae_anneal_cap", "shrink", "std", "gamma", "resolution"),
        *("noise_scale", "noise_min", "noise_max", "w_min", "w_max"),
    ),
    _Positive: ("tau", "ssl_tau", "ssl_temp", "rho"),
    _Fraction: ("corruption_ratio", "l1_ratio"),
    _Dropped: ("dropout_prob", "dropout", "drop_ratio", "node_dropout", "message_dropout"),
    _Counts: (
        *("mlp_hidden_size", "hidden_size_list", "user_hidden_size_list", "critic_layers"),
        *("item_hidden_size_list", "encoder_hidden_size", "cnn_channels", "cnn_kernels"),
        *("cnn_strides", "dims_dnn", "in_dims", "out_dims"),
    ),
    _Weights: ("reg_weights", "mixture_weights"),
}
_RULES = {name: rule for rule, names in _BY_TYPE.items() for name in names}
_RULES |= {
    "accum": Literal["stack", "sum"],
    "ae_act_func": _Activation,
    "aggregator": Literal["mean", "user_attention", "self_attention"],
    "algorithm": Literal["concat", "prod"],
    "hid_activation": Literal["sigmoid", "relu", "tanh"],
    "inter_matrix_type": Literal["01", "rating"],
    "knn_method": Literal["item", "user"],
    "loss_type": Literal["BCE", "MSE"],
    "mean_type": Literal["x0", "eps"],
    "mlp_act_func": _Activation,
    # RecBole also has `knn`, whose code fails.
    "neigh_info_method": Literal["random", "louvain"],
    "noise_schedule": Literal["linear", "linear-var", "cosine", "binomial"],
    "order": Literal[1, 2],
    "out_activation": Literal["sigmoid", "relu"],
    "train_method": Literal["no_pretrain", "after_pretrain"],
    "type": Literal["ND", "ED", "RW"],
}
# Where a name means something else in one model.
_OF_MODEL: dict[tuple[str, str], Any] = {
    ("AsymKNN", "alpha"): _Fraction,
    ("AsymKNN", "beta"): _Fraction,
    ("AsymKNN", "q"): _Positive,
    ("ADMMSLIM", "alpha"): _Weight,
    ("EASE", "reg_weight"): _Positive,
    ("FISM", "alpha"): _Fraction,
    ("NAIS", "alpha"): _Fraction,
    ("NAIS", "beta"): _Fraction,
    ("NCEPLRec", "beta"): _Weight,
    ("NCL", "alpha"): _Weight,
    ("RecVAE", "beta"): _Weight,
    ("SimpleX", "gamma"): _Fraction,
    ("SimpleX", "margin"): Annotated[float, Field(ge=-1, le=1)],
    ("SLIMElastic", "alpha"): _Positive,
}


def check_together(model: str, values: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` for settings of a model of RecBole that exclude each other."""
    get = values.get
    wrong = {
        "`mf_train`, `mlp_train`: found False for both, expected one of them": (
            model == "NeuMF" and not get("mf_train") and not get("mlp_train")
        ),
        "`use_pretrain`: found True, expected also `mf_pretrain_path` and `mlp_pretrain_path`": (
            model == "NeuMF"
            and get("use_pretrain")
            and not (get("mf_pretrain_path") and get("mlp_pretrain_path"))
        ),
        "`train_method`: found after_pretrain, expected also `pre_model_path`": (
            get("train_method") == "after_pretrain" and not get("pre_model_path")
        ),
        f"`n_factors`: found {get('n_factors')}, expected a divisor of `embedding_size`": (
            model == "DGCF" and get("embedding_size", 1) % get("n_factors", 1) != 0
        ),
        f"`sampling_steps`: found {get('sampling_steps')}, expected at most `steps`": (
            "sampling_steps" in values and values["sampling_steps"] > values["steps"]
        ),
        f"`noise_min`: found {get('noise_min')}, expected less than `noise_max`": (
            "noise_min" in values and values["noise_min"] >= values["noise_max"]
        ),
    }
    for text, found in wrong.items():
        if found:
            raise UserError(f"{text}; see RecBole's page of {model}")


def recbole_model_schema(model: str, defaults: Mapping[str, Any]) -> type[Settings]:
    """Types and bounds of the settings in RecBole's property file of a model.

    Args:
        model: name of the model.
        defaults: contents of its property file; a setting without a rule is checked against the
            type of its default.
    """
    fields: dict[str, Any] = {}
    for name, default in defaults.items():
        rule = _OF_MODEL.get((model, name), _RULES.get(name))
        if rule is None:
            # A default may be an integer although any number is accepted.
            number = isinstance(default, int | float) and not isinstance(default, bool)
            kinds = {bool: bool, list: list[Any], str: str}
            rule = float if number else kinds.get(type(default), Any)
        fields[name] = (rule, ...)
    return create_model(model, __base__=Settings, **fields)
