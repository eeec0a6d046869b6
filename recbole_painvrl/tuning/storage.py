"""Optuna's storage of a search or of a shared grid: a journal file or a database."""

from __future__ import annotations

from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from recbole_painvrl.errors import UserError


def open_storage(where: str) -> BaseStorage:
    """Open what ``--storage`` names.

    Args:
        where: a database URL, or the path of a journal file.

    Raises:
        UserError: it cannot be opened.
    """
    try:
        if "://" in where:
            return RDBStorage(where)
        Path(where).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(where))
    except ModuleNotFoundError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        raise UserError(
            f"`--storage`: {where} cannot be used ({type(error).__name__}: {message}); expected "
            "the path of a journal file or a database URL such as sqlite:///study.db"
        ) from error
