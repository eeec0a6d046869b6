"""Heterogeneous identification (HIM, section 3.3 of the paper): which environment is a pair from.

``loop.py`` is the alternation of Algorithm 1, lines 2 to 9; ``content.py`` and ``full.py`` are
two environment models Gamma_e. Nothing here knows RecBole.
"""
