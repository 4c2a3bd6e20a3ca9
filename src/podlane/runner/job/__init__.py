"""One job: what is made of it before it starts, its trace, its report, and what a successor needs.

Read ``jobrun`` first. ``plan`` decides everything before anything starts (``variables``, ``inputs``,
``cache_stages``); ``reporter`` alone talks to the coordinator; ``keeping`` writes down what
``succession`` gives to the next manager.
"""
