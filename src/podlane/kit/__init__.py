"""Small parts that know nothing of CI; each could be a library.

Nothing here imports another podlane package. A thing enters with its second user.
"""
