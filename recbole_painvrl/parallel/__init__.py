"""Training over the processes that ``torchrun`` starts: users divided, the item side replicated.

``launch.py`` knows the environment variables, ``group.py`` what processes sum and gather, and
``shards.py`` which users and interactions a process has. All sums of a step are over the batch, so
the gradient of one process is the sum of the gradients of several, each on its own users.
"""
