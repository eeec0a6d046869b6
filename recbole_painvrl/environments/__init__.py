"""Heterogeneous identification (HIM, section 3.3): the environment of every interaction.

``loop.py`` is the alternation of Algorithm 1, lines 2 to 9; ``content.py`` and ``full.py`` are
two environment models Gamma_e. This package does not depend on RecBole.
"""
