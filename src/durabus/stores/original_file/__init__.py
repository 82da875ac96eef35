"""A directory of NATS Streaming Server's FILE store: reading it, and taking it over. Nothing here ever writes to its files.

predecessor        the FILE store's first start on such a directory, and every later one
importing          taking over by hand, into any store
store              the directory as a store that can only be read
channel_log        the slices of a channel in one sequence; `messages` walks over one slice, `index_file` helps it
subscription_log   where subscriptions stand, from all that happened to them
registry           whose store it is, and its clients
records            what all files are made of; `typed_file` walks over one with types, `checksum` is any CRC-32
findings           what is damaged, in words; `quarantine` keeps the bytes
fingerprint        whether files changed since; `marker` notes it, `lock` keeps the original out
files              which files there are, opened for reading only
"""
