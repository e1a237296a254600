"""How fresh reads are: histories of real clients on a real cluster, and checks that find what a level does not allow.

`sessions` makes a history, `trouble` makes it hard, `checks` judges it, `run` is the command line (`./dev history`).
In the manner of Jepsen: clients only write down what they did and saw, and everything is decided afterwards.
"""
