"""What RecBole 1.2.1 needs on today's Python, NumPy, pandas and SciPy: one file per library.

RecBole is imported inside the functions, so that :func:`versions.check_versions` can speak before
RecBole fails to import. Every mend says what fails without it and what would make it unnecessary.
"""

from __future__ import annotations


def mend_libraries() -> None:
    """Let RecBole 1.2.1 work with the installed libraries; repeating it is harmless."""
    from recbole_painvrl._compat import imports, numpy, pandas, scipy

    numpy.add_removed_names()
    scipy.add_dok_update()
    imports.import_recbole()
    numpy.keep_names_in_config()
    pandas.mend_dataset()
