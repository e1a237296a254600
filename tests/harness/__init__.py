"""What the tests, the demo and the benchmarks share: real PostgreSQL clusters, a running pgweir, a raw protocol client.

Never used by the program itself. Everything it starts, it ends, also after an exception or when it is killed.
"""
