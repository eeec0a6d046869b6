"""``run_recbole.py`` and ``python -m recbole_painvrl run``: train and evaluate one model."""

from __future__ import annotations

import functools

import click

import recbole_painvrl
from recbole_painvrl.cli import base
from recbole_painvrl.parallel.launch import global_rank

PAGE = """
  python run_recbole.py --model=PaInvRL --dataset=ml-trailers
  python run_recbole.py --model=LightGCN --dataset=ml-trailers --seed=1
  python run_recbole.py --model=UltraGCN --dataset=ml-trailers --modalities=[]
  python run_recbole.py --model=PaInvRL --dataset=planted --preset=paper_literal
  python run_recbole.py --model=PaInvRL --help            all settings and presets of the model

Datasets that need no download: ml-trailers (embedded variant), planted, ml-100k.
"""
_SETTINGS = {
    "--model=MODEL": "name of a model, or package.module:Class",
    "--dataset=DATASET": "name of a dataset",
    "--config_files=FILES": "YAML files that override the defaults, in this order (also a list)",
    "--protocol=PROTOCOL": "random, files, iid_ood, popularity or time",
    "--output_dir=FOLDER": "folder of the run folders; default runs",
    "--run_name=NAME": "name of the run folder; default MODEL-DATASET-TIME",
    "--resume=RUN": "resume an interrupted run exactly",
    "--SETTING=VALUE": "any setting of RecBole or of the plugin (docs/settings.md)",
}


class _Run(base.Command):
    """``--model=MODEL --help`` also lists the settings of the model."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        model = _model(ctx.meta["words"])
        if model:
            from recbole_painvrl.cli.settings import lines

            with formatter.section(f"Settings of {model}"):
                base.start()
                formatter.write("\n".join(lines(model)) + "\n")


@click.command(
    "run", cls=_Run, page=PAGE, shown_settings=_SETTINGS, stopped="stopped before the run started"
)
@click.version_option(recbole_painvrl.__version__, message="%(version)s")
def command(settings: tuple[str, ...]) -> None:
    """Train and evaluate one model and write a run folder."""
    # Imported late, so that help needs neither torch nor RecBole.
    from recbole_painvrl.config import config_from_arguments, parse_overrides
    from recbole_painvrl.run.resume import interrupted_run
    from recbole_painvrl.run.runner import run
    from recbole_painvrl.run.summary import run_summary

    if "resume" in parse_overrides(settings):
        folder, config = interrupted_run(settings)
        result = run(config, folder)
    else:
        result = run(config_from_arguments(settings))
    if global_rank() == 0:
        print(run_summary(result))


def _model(words: list[str]) -> str:
    """The model named on a command line, or an empty string."""
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == "--model":
            return value if equals else "".join(words[index + 1 : index + 2])
    return ""


main = functools.partial(base.execute, command)
