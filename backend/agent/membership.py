"""One balancer, for ever: connect, register, beat; when anything breaks, wait and begin again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from random import Random

import asyncio_dgram

from backend.agent.backoff import (
    RECONNECT_CAP_S,
    RECONNECT_FIRST_S,
    REFUSED_CAP_S,
    REFUSED_FIRST_S,
    Backoff,
)
from backend.agent.beats import BeatPlan, beat
from backend.agent.identity import Identity
from backend.agent.link import ControlLink, LeaseKey, Refusal
from backend.engines.base import EngineLoad
from backend.tasks import spawn
from balancer.wire import control, heartbeat
from balancer.wire.errors import RemoteProtocolError

log = logging.getLogger(__name__)

SEND_S = 0.5


class Membership:
    """This backend's standing with one balancer. `run` ends only when cancelled."""

    def __init__(
        self,
        host: str,
        port: int,
        identity: Identity,
        *,
        token: bytes,
        load: Callable[[], EngineLoad],
        rng: Random,
    ) -> None:
        self._host, self._port = host, port
        self._identity = identity
        self._token = token
        self._load = load
        self._reconnect = Backoff(RECONNECT_FIRST_S, RECONNECT_CAP_S, rng)
        self._refused = Backoff(REFUSED_FIRST_S, REFUSED_CAP_S, rng)
        self._link: ControlLink | None = None
        self._former: ControlLink | None = None
        self._renewing = False
        self._draining = False
        self._drained_by_balancer = False
        self._udp_blocked = False
        self._complained = ""
        self.registered = asyncio.Event()
        """Set while a lease is held."""

    @property
    def balancer(self) -> str:
        return f"{self._host}:{self._port}"

    async def run(self) -> None:
        while True:
            try:
                await self._once()
                if self._renewing:
                    continue
                wait_s, why = self._reconnect.next_s(), "the connection ended"
            except Refusal as refusal:
                wait_s, why = refusal.retry_after_s or self._refused.next_s(), f"refused: {refusal}"
            except (OSError, RemoteProtocolError) as error:
                wait_s, why = self._reconnect.next_s(), str(error) or type(error).__name__
            self._complain(why, wait_s)
            await asyncio.sleep(wait_s)

    def drain(self) -> None:
        """Ask for no new work; what runs goes on."""
        self._draining = True
        if self._link is not None:
            self._link.send("drain", True)

    def leave(self) -> None:
        """Say goodbye on the control connection, if there is one."""
        if self._link is not None:
            self._link.send("leave", {})

    def register_again(self, identity: Identity) -> None:
        """Tell this from now on; what runs goes on, since the new registration takes the old one's place."""
        self._identity = identity
        self._renewing = self._link is not None

    async def _register(self) -> tuple[ControlLink, LeaseKey]:
        """A new connection with a lease. The former one is open until then: its end would be a leave."""
        self._renewing = False
        try:
            link = await ControlLink.open(self._host, self._port)
            try:
                return link, await link.register(self._identity, self._token)
            except BaseException:
                link.close()
                raise
        finally:
            if self._former is not None:
                self._former.close()
                self._former = None

    async def _once(self) -> None:
        """One connection, from dial to end."""
        link, lease_key = await self._register()
        try:
            self._link = link
            self._drained_by_balancer = self._udp_blocked = False
            self._refused.reset()
            self._complained = ""
            self.registered.set()
            log.info("registered with %s as %s, lease %d", self.balancer, self._identity.name, lease_key.lease.id)
            if self._draining:
                link.send("drain", True)
            await self._hold(link, lease_key)
        finally:
            self._link = None
            self.registered.clear()
            if self._renewing:
                self._former = link
            else:
                link.close()

    async def _hold(self, link: ControlLink, lease_key: LeaseKey) -> None:
        """Beat until the connection ends or the balancer is heard no more."""
        plan = BeatPlan(lease_key.lease.beat_s, time.monotonic())
        udp = await asyncio_dgram.connect(link.peer)
        lines = spawn(self._read_lines(link, plan, lease_key), name=f"control {self.balancer}")
        acks = spawn(self._read_acks(udp, plan, lease_key), name=f"acks {self.balancer}")
        try:
            while not (lines.done() or plan.lost or self._renewing):
                due = plan.due(time.monotonic())
                if due is not None:
                    if due.control is not None:
                        link.send("beat", control.datagram_text(self._sealed(lease_key, due.control)))
                    await _send_datagram(udp, self._sealed(lease_key, due.datagram))
                    self._tell_blocked(plan)
                await asyncio.wait({lines}, timeout=plan.wait_s(time.monotonic()))
        finally:
            lines.cancel()
            acks.cancel()
            udp.close()

    def _sealed(self, lease_key: LeaseKey, sequence: int) -> bytes:
        draining = self._draining or self._drained_by_balancer
        content = beat(self._load(), sequence, slots=self._identity.slots, draining=draining)
        return heartbeat.seal_beat(lease_key.key, lease_key.lease.id, content)

    async def _read_lines(self, link: ControlLink, plan: BeatPlan, lease_key: LeaseKey) -> None:
        """Messages of the balancer, until the connection ends or makes no sense."""
        try:
            while (message := await link.receive()) is not None:
                kind, fields = message
                if kind == "ack":
                    sequence = heartbeat.open_ack(lease_key.key, control.datagram_bytes(fields))
                    self._acked(plan, sequence, by_udp=False)
                elif kind == "drain":
                    self._drained_by_balancer = bool(fields)
                    log.info("%s %s this backend", self.balancer, "drains" if fields else "no longer drains")
                elif kind == "refused":
                    log.warning("%s refuses: %s", self.balancer, fields)
        except (OSError, RemoteProtocolError) as error:
            log.debug("control connection to %s: %s", self.balancer, error)

    async def _read_acks(self, udp: asyncio_dgram.DatagramClient, plan: BeatPlan, lease_key: LeaseKey) -> None:
        while True:
            try:
                datagram, _ = await udp.recv()
            except asyncio_dgram.TransportClosed:
                return
            except OSError:
                continue  # an ICMP error of an earlier datagram: its missing acknowledgement says it too
            self._acked(plan, heartbeat.open_ack(lease_key.key, datagram), by_udp=True)

    def _acked(self, plan: BeatPlan, sequence: int | None, *, by_udp: bool) -> None:
        if sequence is not None:
            plan.acked(sequence, by_udp=by_udp)
            self._reconnect.reset()

    def _tell_blocked(self, plan: BeatPlan) -> None:
        if plan.blocked != self._udp_blocked:
            self._udp_blocked = plan.blocked
            if plan.blocked:
                log.warning("UDP to %s does not arrive; beating over the control connection", self.balancer)
            else:
                log.info("UDP to %s arrives again", self.balancer)

    def _complain(self, why: str, wait_s: float) -> None:
        """Say once what is wrong, not once a try."""
        level = logging.DEBUG if why == self._complained else logging.WARNING
        self._complained = why
        log.log(level, "not registered with %s: %s; trying again in %.1f s", self.balancer, why, wait_s)


async def _send_datagram(udp: asyncio_dgram.DatagramClient, datagram: bytes) -> None:
    """Send, whatever became of earlier datagrams: asyncio-dgram raises their ICMP errors at the next send."""
    for _ in range(2):
        try:
            async with asyncio.timeout(SEND_S):
                await udp.send(datagram)
            return
        except (OSError, asyncio_dgram.TransportClosed):
            continue
