"""Who listens to what: subscriptions by subject, with a bounded cache of answers (docs/protocol.md §3.1).

Literal subjects live in a dictionary, those with wildcards in a tree of tokens; an answer is remembered until a
subscription changes that could change it.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from durabus.wire.limits import SUBJECT_CACHE_ENTRIES_MAX
from durabus.wire.subjects import has_wildcard, matches

__all__ = ["Match", "Sublist", "Subscription"]

_STAR: Final = b"*"
_GREATER: Final = b">"
_SELECTIVE_ENTRIES_MAX: Final = 512
"""Above this many remembered answers, forgetting all is cheaper for everybody else than finding those that changed."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Subscription:
    """One subscription: `queue` is empty for a plain one. What it leads to is a matter of the subclass."""

    def __init__(self, subject: bytes, queue: bytes) -> None:
        """Keep the valid subscription `subject`."""
        self.subject = subject
        self.queue = queue
        self.sid = b""  # the client's own name for it
        self.delivered_count: i64 = 0


class Match:
    """The subscriptions that one subject leads to: `plain` get every message, of each list in `groups` one does."""

    def __init__(self, found: list[Subscription]) -> None:
        """Sort `found` into plain ones and groups."""
        self.plain: list[Subscription] = []
        self.groups: list[list[Subscription]] = []
        by_queue: dict[bytes, list[Subscription]] = {}
        for subscription in found:
            if not subscription.queue:
                self.plain.append(subscription)
            elif subscription.queue in by_queue:
                by_queue[subscription.queue].append(subscription)
            else:
                members = [subscription]
                by_queue[subscription.queue] = members
                self.groups.append(members)
        self.is_empty = not found


class _Node:
    """One token of the tree of wildcard subjects."""

    def __init__(self) -> None:
        self.children: dict[bytes, _Node] = {}
        self.subscriptions: list[Subscription] = []


class Sublist:
    """All subscriptions of one broker. `cache_entries_max` bounds the remembered answers."""

    def __init__(self, cache_entries_max: int = SUBJECT_CACHE_ENTRIES_MAX) -> None:
        """Begin empty."""
        self._literals: dict[bytes, list[Subscription]] = {}
        self._root = _Node()
        self._wildcard_count = 0
        self._cache: dict[bytes, Match] = {}
        self._cache_entries_max = cache_entries_max
        self.count = 0
        self.inserted_count: i64 = 0
        self.removed_count: i64 = 0
        self.hit_count: i64 = 0
        self.miss_count: i64 = 0

    def insert(self, subscription: Subscription) -> None:
        """Add `subscription`; its subject must be valid."""
        subject = subscription.subject
        if has_wildcard(subject):
            node = self._root
            for token in subject.split(b"."):
                if token not in node.children:
                    node.children[token] = _Node()
                node = node.children[token]
            node.subscriptions.append(subscription)
            self._wildcard_count += 1
            self._forget_matching(subject)
        else:
            listed = self._literals.get(subject)
            if listed is None:
                self._literals[subject] = [subscription]
            else:
                listed.append(subscription)
            self._cache.pop(subject, None)
        self.count += 1
        self.inserted_count += 1

    def remove(self, subscription: Subscription) -> None:
        """Take out `subscription`; raises KeyError when it is not there."""
        subject = subscription.subject
        if has_wildcard(subject):
            self._remove_wildcard(subscription, subject.split(b"."))
            self._wildcard_count -= 1
            self._forget_matching(subject)
        else:
            listed = self._literals.get(subject)
            if listed is None or subscription not in listed:
                raise KeyError(subject)
            listed.remove(subscription)
            if not listed:
                del self._literals[subject]
            self._cache.pop(subject, None)
        self.count -= 1
        self.removed_count += 1

    def match(self, subject: bytes) -> Match:
        """The subscriptions that receive what is published on `subject`; those of one pattern in the order of subscribing."""
        known = self._cache.get(subject)
        if known is not None:
            self.hit_count += 1
            return known
        self.miss_count += 1
        found = list(self._literals.get(subject, ()))
        if self._wildcard_count:
            _collect(self._root, subject.split(b"."), found)
        result = Match(found)
        if len(self._cache) >= self._cache_entries_max:
            self._cache.clear()
        self._cache[subject] = result
        return result

    def fanouts(self) -> list[int]:
        """For each subject whose answer is remembered: how many get a message, a group counting as one."""
        return [len(match.plain) + len(match.groups) for match in self._cache.values()]

    def _remove_wildcard(self, subscription: Subscription, tokens: list[bytes]) -> None:
        path = [self._root]
        for token in tokens:
            child = path[-1].children.get(token)
            if child is None:
                raise KeyError(subscription.subject)
            path.append(child)
        if subscription not in path[-1].subscriptions:
            raise KeyError(subscription.subject)
        path[-1].subscriptions.remove(subscription)
        for depth in range(len(tokens), 0, -1):
            if path[depth].children or path[depth].subscriptions:
                break
            del path[depth - 1].children[tokens[depth - 1]]

    def _forget_matching(self, pattern: bytes) -> None:
        if len(self._cache) > _SELECTIVE_ENTRIES_MAX:
            self._cache.clear()
            return
        for subject in [subject for subject in self._cache if matches(pattern, subject)]:
            del self._cache[subject]


def _collect(root: _Node, tokens: list[bytes], found: list[Subscription]) -> None:
    """Append what matches `tokens` below `root`; without recursion, for a subject may have thousands of tokens."""
    last = len(tokens)
    open_nodes: list[tuple[_Node, int]] = [(root, 0)]
    while open_nodes:
        node, depth = open_nodes.pop()
        if depth == last:
            found.extend(node.subscriptions)
            continue
        rest = node.children.get(_GREATER)
        if rest is not None:
            found.extend(rest.subscriptions)
        token = tokens[depth]
        child = node.children.get(token)
        if child is not None and token != _STAR and token != _GREATER:
            open_nodes.append((child, depth + 1))
        one = node.children.get(_STAR)
        if one is not None:
            open_nodes.append((one, depth + 1))
