"""Pure mathematics of the models: torch, numpy and scipy only, no I/O, no RecBole.

=====================  =====================================================
file                   equations (PaInvRL, MM '23)
=====================  =====================================================
``graph.py``           6 and 8: weights of the user-item and item-item graphs
``ultragcn.py``        3, 4, 5, 7: the UltraGCN loss
``environments.py``    9: partition of the interactions
``gate.py``            10, 24, 25: clipped gaussian gate, the two representations
``attention.py``       13, 14: weights of the two representations
``invariance.py``      11, 12, 15: ERM and IRM losses in closed form
``pareto.py``          16, 17, 18, 19: weights of the two losses, mask step
``pairwise.py``        BPR and its regularisers (VBPR, MMGCN)
=====================  =====================================================
"""
