"""Whom a playbook that acts relies on: those who may send what sets it off, and those who approve."""

from collections.abc import Iterator, Mapping

from forestall.contracts.catalogue import Catalogue
from forestall.contracts.errors import Problem
from forestall.policy.language.model import Approve, Plan, Remediate
from forestall.policy.language.offers import Offers
from forestall.policy.language.sites import Examined, playbook_steps


def untrusted(
    one: Examined, catalogue: Catalogue | None, agents: Offers | None
) -> Iterator[Problem]:
    """Remediations, and plans of agents that may act, in policies that nothing but a browser sets
    off: anybody could send that."""
    if catalogue is None or _may_come_from_a_server(one, catalogue):
        return
    for at, node in playbook_steps(one.located.policy):
        step, what = node.step, None
        if isinstance(step, Remediate):
            what = f"`{step.action}` carried out"
        elif isinstance(step, Plan) and (agent := (agents or {}).get(step.agent)) and agent.acts:
            what = f"the actions of `{step.agent}` carried out"
        if what is not None:
            message = (
                f"whatever sets this policy off comes from browsers, so anybody could have {what}"
            )
            hint = "let the pattern wait for an event that a server sends too"
            yield one.problem(one.located.place(*at), "untrusted-trigger", message, hint)


def _may_come_from_a_server(one: Examined, catalogue: Catalogue) -> bool:
    """Whether a server may send an event for one of the pattern's positive steps."""
    steps = (step for step in one.located.policy.when.steps if not step.negative)
    for name in {name for step in steps for name in step.match.types}:
        majors = catalogue.majors(name)
        if not majors or any("server" in contract.origins for contract in majors.values()):
            return True
    return False


def unstaffed(
    one: Examined, roles: Mapping[str, int] | None, agents: Offers | None
) -> Iterator[Problem]:
    """Approvals for which there are not people enough."""
    for at, node in playbook_steps(one.located.policy) if roles is not None else ():
        step = node.step
        if not isinstance(step, Approve | Plan):
            continue
        there, people = (roles or {}).get(step.by, 0), _people(step, agents)
        if there >= people:
            continue
        named = one.located.node(*at, "by") is not None
        place = one.located.place(*at, "by") if named else one.located.place(*at)
        if there:
            message = f"{people} `{step.by}` are to approve, and there is only {there}"
            hint = "ask fewer, or give more people the role"
        else:
            known = ", ".join(f"`{role}`" for role in sorted(roles or ()))
            message, hint = f"nobody has the role `{step.by}`", f"there is {known}"
        yield one.problem(place, "unknown-role", message, hint)


def _people(step: Approve | Plan, agents: Offers | None) -> int:
    """How many have to be there: for a plan none, where its agent may not act."""
    if isinstance(step, Approve):
        return step.people
    agent = (agents or {}).get(step.agent)
    if agent is None:
        return 1
    return agent.people if agent.acts else 0
