"""The runners at work: who asks for jobs and when, how many run at once, and what is counted.

Read ``crew`` first: a shift of ``poller``s for each version of the settings.
"""
