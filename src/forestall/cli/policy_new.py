"""``forestall policy new``: a policy test from a real customer's history."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from forestall.cli.customer import moment, open_signals, records_of
from forestall.cli.deployment import ConfigOption, DataOption, data_for, settings_for
from forestall.contracts.control import Control, PoliciesApplied
from forestall.contracts.decision import Decision
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import Record
from forestall.contracts.instants import format_duration, format_time
from forestall.decide.case import Recorded, decided, record_case
from forestall.decide.examine import examine
from forestall.decide.history import deployed_controls
from forestall.kernel.settings import Settings
from forestall.policy.bundle import Bundle, policy_of
from forestall.policy.deployment import load_bundle
from forestall.policy.language.casetext import case_text, read_back, with_case
from forestall.policy.language.model import Policy, TestExpectation


def new(
    subject: Annotated[
        str, typer.Option("--from-subject", help="The customer's own id, or the pseudonym.")
    ],
    between: Annotated[
        tuple[str, str],
        typer.Option(metavar="FROM TO", help="From when to when (RFC 3339), both included."),
    ],
    policy: Annotated[
        str | None,
        typer.Option(help="The policy; every one that decided in that time, if not given."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the test.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Add the test to the policy in this file, and obey the policy as it stands there; "
            "else it is printed, for the version then in force."
        ),
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Write a policy test from what happened to a real customer.

    The test is pseudonymous: ids, keys and texts that the policy does not name become placeholders,
    times count from the first event, and only fields that the policy reads are kept. It expects
    what the policy decides, and passes. Exit code 1 when the customer is not known.
    """
    settings = settings_for(config)
    folder = data_for(data, config)
    span = moment(between[0], "--between"), moment(between[1], "--between")
    if span[0] > span[1]:
        raise UnreadableInput("--between: the second moment is before the first")
    log = open_signals(folder)
    try:
        pseudonym, records = records_of(log, folder, subject)
    finally:
        log.close()
    if not records:
        typer.echo(f"No events of {subject!r} are in the log of {folder}.", err=True)
        raise typer.Exit(1)
    controls = deployed_controls(folder)
    decisions = [one for one in decided(controls, records, *span) if one.subject == pseudonym]
    if out is None:
        bundle = _in_force(controls, span[1], {one.version for one in decisions})
    else:
        bundle = load_bundle(out, settings)
    for one in _chosen(bundle, policy, decisions):
        found = _recorded(name, bundle, one, settings, records, span, decisions)
        _write(found, one, out)


def _in_force(controls: Sequence[Control], at: int, decided: Collection[str]) -> Bundle:
    """What was in force then, of each policy one version: one that decided for the customer, else
    the live one; one in shadow only where there is no other."""
    applied = [
        control
        for control in controls
        if isinstance(control, PoliciesApplied) and control.received <= at
    ]
    if not applied:
        raise UnreadableInput(f"No policies were in force at {format_time(at)}; give --out.")
    order = ("shadow", "canary", "live")
    entries = sorted(
        applied[-1].policies,
        key=lambda one: (
            one.mode != "shadow",
            one.version in decided,
            order.index(one.mode),
        ),
    )
    chosen = {one.name: policy_of(one) for one in entries}
    return Bundle(
        policies=tuple(chosen[name] for name in sorted(chosen)), numbers=applied[-1].numbers
    )


def _chosen(bundle: Bundle, policy: str | None, decisions: Sequence[Decision]) -> list[Policy]:
    if policy is None:
        names = {one.policy for one in decisions}
        found = [one for one in bundle.policies if one.name in names]
        if not found:
            raise UnreadableInput(
                "No policy decided for the customer in that time; name one with --policy for a "
                "test in which it stays silent."
            )
        return found
    found = [one for one in bundle.policies if one.name == policy]
    if not found:
        there = ", ".join(one.name for one in bundle.policies) or "none"
        raise UnreadableInput(f"No policy is called {policy!r}; there are: {there}.")
    return found


def _recorded(
    name: str | None,
    bundle: Bundle,
    policy: Policy,
    settings: Settings,
    records: Sequence[Record],
    span: tuple[int, int],
    decisions: Sequence[Decision],
) -> Recorded:
    found = record_case(
        name or "a customer's history", bundle, policy, settings.decide, records, span, decisions
    )
    case = read_back(found.case)
    tested = msgspec.structs.replace(policy, tests=(case,))
    (examined,) = examine(bundle, tested, settings.decide)
    if not examined.passed:
        raise UnreadableInput(
            f"The history cannot be written as a test of {policy.name}: {examined.differences[0]}."
        )
    return found


def _write(found: Recorded, policy: Policy, out: Path | None) -> None:
    if found.plain:
        fields = ", ".join(found.plain)
        typer.echo(
            f"{policy.name}: these fields stand as they are, because the policy looks into them; "
            f"check that they name nobody: {fields}",
            err=True,
        )
    if found.decided is not None:
        typer.echo(
            f"{policy.name}: in the log it decided {_list(found.decided)}; the test alone decides "
            f"{_list(found.case.expect)}. Earlier acts, other policies, holdouts and another "
            "version of the policy are not part of the test.",
            err=True,
        )
    if out is None:
        text = "".join(f"  {line}\n" for line in case_text(found.case).splitlines())
        typer.echo(f"# {policy.name}\ntests:\n{text}", nl=False)
        return
    try:
        made = with_case(out.read_text(), str(out), policy.name, found.case)
        out.write_text(made)
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"{out}: cannot be changed: {error}") from None
    typer.echo(f"{out}: added a test of {policy.name}")


def _list(decisions: Sequence[TestExpectation]) -> str:
    told = [
        f"{one.outcome}{f' ({one.reason})' if one.reason else ''} at {format_duration(one.at)}"
        for one in decisions
    ]
    return ", ".join(told) or "nothing"
