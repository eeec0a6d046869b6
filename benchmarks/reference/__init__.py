"""The published structure of the method, plainly written: what the product is timed against.

Every step projects the whole catalogue, every environment projects it again, the gradients of the
environments come from a double backward (``create_graph``), every positive has its own negatives,
attention reads concatenated vectors, losses are binary cross-entropy with weights, and the L2
terms are part of the loss. ``tests/benchmarks/test_reference.py`` holds it to the product's
losses and gradients.
"""
