"""The backends' side of the daemon: registrations and beats into the registry, its transitions out to everybody."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from balancer.doors.addresses import IPNetwork
from balancer.exchange.ports import Clock
from balancer.pool.backend import BackendSpec, State
from balancer.pool.load import Load
from balancer.pool.registry import Registry
from balancer.pool.transition import BeatStatus, Reason, Refused, Registered, Transition
from balancer.wire import heartbeat
from balancer.wire.control import NONCE_BYTES

log = logging.getLogger("balancer.pool")
audit = logging.getLogger("balancer.audit")

KEY_BYTES = 32


class AgentLink(Protocol):
    """The connection that a lease hangs on."""

    def drain(self, draining: bool) -> None: ...

    def superseded(self) -> None: ...

    def expired(self) -> None: ...


class Agents:
    """See the module. ``random_bytes`` draws nonces and, where no token is set, keys."""

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        *,
        pool_changed: Callable[[Iterable[Transition]], None],
        token: bytes | None,
        insecure: bool,
        networks: Collection[IPNetwork],
        own_port: int,
        own_hosts: Collection[str],
        beat_s: float,
        deadline_s: float,
    ) -> None:
        self.token = token
        self.insecure = insecure
        self.networks = networks
        self.own_port = own_port
        self.own_hosts = own_hosts
        self.beat_s = beat_s
        self.deadline_s = deadline_s
        self.counts: Counter[str] = Counter()
        """Since the start: beats_udp, beats_tcp, beats dropped by reason, registrations, refused by code."""
        self._registry = registry
        self._clock = clock
        self._random_bytes = random_bytes
        self._pool_changed = pool_changed
        self._links: dict[int, AgentLink] = {}

    def nonce(self) -> str:
        return self._random_bytes(NONCE_BYTES).hex()

    def random_key(self) -> bytes:
        return self._random_bytes(KEY_BYTES)

    # --- registrations

    def register(self, spec: BackendSpec, key: bytes, link: AgentLink) -> Registered | Refused:
        """Take a backend into the pool; its lease lives as long as ``link``."""
        found = self._registry.register(spec, self._clock.time(), key=key)
        if isinstance(found, Registered):
            self.apply(found.transitions)
            if found.superseded is not None:  # the same process on a new connection changes no state
                self._supersede(found.superseded)
            self._pool_changed(())  # nor does that tell those who wait that there are more slots
            self.counts["registrations"] += 1
            self._links[found.lease_id] = link
            models = ", ".join(model.name for model in spec.models)
            log.info("backend %s at %s:%d offers %s in %d slots", spec.name, spec.host, spec.port, models, spec.slots)
        return found

    def refused(self, peer: str, name: str, code: str, message: str) -> None:
        """Count and record a registration that came to nothing."""
        self.counts["refused." + code] += 1
        audit.warning("registration of %s from %s refused: %s: %s", name, peer, code, message)

    def left(self, lease_id: int, link: AgentLink) -> None:
        """The connection of this lease is gone."""
        if self._links.get(lease_id) is link:
            del self._links[lease_id]
        self.apply(self._registry.leave(lease_id, self._clock.time()))

    def heard(self, lease_id: int) -> None:
        """A sign of life without load: a classic backend's heartbeat."""
        self.counts["beats_classic"] += 1
        self.apply(self._registry.heard(lease_id, self._clock.time()))

    def drain(self, lease_id: int, draining: bool) -> None:
        """The agent itself asks for it."""
        self.apply(self._registry.agent_drain(lease_id, draining, self._clock.time()))

    def drain_by_operator(self, name: str, draining: bool) -> None:
        """An operator asks for it. Raises `KeyError` if there is no such backend."""
        change = self._registry.drain if draining else self._registry.undrain
        self.apply(change(name, self._clock.time()))
        member = self._registry.named(name)
        if member is not None and member.lease_id in self._links:
            self._links[member.lease_id].drain(draining)

    # --- beats

    def beat(self, datagram: bytes, way: str) -> bytes | None:
        """A beat that came by ``way`` (udp or tcp): the acknowledgement, or ``None`` if it counts for nothing."""
        head = heartbeat.peek(datagram)
        if head is None:
            self._dropped("malformed")
            return None
        member = self._registry.member(head.lease_id)
        if member is None:
            self._dropped("unknown_lease")
            return None
        beat = heartbeat.open_beat(member.key, datagram)
        if beat is None:
            self._dropped("wrong_mac")
            return None
        result = self._registry.beat(head.lease_id, beat.sequence, _load(beat), self._clock.time())
        if result.status is not BeatStatus.ACCEPTED:
            self._dropped(result.status.value)
            return None
        self.counts["beats_" + way] += 1
        if result.transitions:
            self.apply(result.transitions)
        return heartbeat.seal_ack(member.key, head.lease_id, beat.sequence)

    def _dropped(self, reason: str) -> None:
        self.counts["beats_dropped." + reason] += 1

    # --- transitions

    def advance(self, now: float) -> None:
        """Every tick: who has been silent for too long?"""
        self.apply(self._registry.advance(now))

    def apply(self, transitions: Iterable[Transition]) -> None:
        """Log transitions, tell the exchanges, and let go of links whose lease is over."""
        transitions = tuple(transitions)
        for transition in transitions:
            self._log(transition)
            if transition.new is None or transition.reason is Reason.RESTARTED:
                self._supersede(transition.lease_id, expired=transition.reason is Reason.FORGOTTEN)
        if transitions:
            self._pool_changed(transitions)

    def _supersede(self, lease_id: int, *, expired: bool = False) -> None:
        link = self._links.pop(lease_id, None)
        if link is not None:
            link.expired() if expired else link.superseded()

    @staticmethod
    def _log(transition: Transition) -> None:
        old = transition.old.value if transition.old is not None else "new"
        new = transition.new.value if transition.new is not None else "gone"
        bad = transition.new in (State.DEAD, State.SUSPECT)
        level = logging.WARNING if bad else logging.INFO
        log.log(level, "backend %s: %s -> %s (%s)", transition.name, old, new, transition.reason.value)


def _load(beat: heartbeat.Beat) -> Load:
    """By position, since it comes with every beat; both have their fields in the same order."""
    return Load(
        beat.running,
        beat.waiting,
        beat.slots,
        beat.prefill_tokens_running,
        beat.prefill_tokens_waiting,
        beat.kv_tokens_used,
        beat.kv_tokens_total,
        beat.tokens_per_s,
        beat.ms_since_step,
        beat.ready,
        beat.draining,
    )
