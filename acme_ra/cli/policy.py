"""`acme-ra policy`."""

import json
from pathlib import Path

import click

from acme_ra.cli.frame import LazyGroup, global_options, print_fields, print_json, print_table, session

_COMMANDS = {
    "check": ("acme_ra.cli.policy:check", "Load policies as the server does, and tell every mistake."),
    "lint": ("acme_ra.cli.policy_lint:lint", "Tell what is valid and hardly meant, with the fix."),
    "schema": ("acme_ra.cli.policy:schema", "Print the JSON Schema of policy files, for editors."),
    "crds": ("acme_ra.cli.policy:crds", "Print the CustomResourceDefinitions of the policy kinds."),
}


@click.group(cls=LazyGroup, commands_in=_COMMANDS)
@global_options
def policy() -> None:
    """Policies."""


@click.command()
@global_options
@click.argument("path", required=False, type=click.Path(path_type=Path))
def check(path: Path | None) -> None:
    """Load the policies of PATH (default: those of the configuration) and show the set's digest.

    Without PATH the authorities and profiles that policies name are looked up in the configuration, too.
    """
    from acme_ra.app import read_policies
    from acme_ra.policy.documents import load_policies

    policies = load_policies(path) if path is not None else read_policies(session().configuration())
    rows = [(one.name, one.effect, one.mode) for one in policies.policies]
    if session().json:
        named = [{"name": name, "effect": effect, "mode": mode} for name, effect, mode in rows]
        print_json({"digest": policies.digest, "policies": named})
        return
    print_table(("NAME", "EFFECT", "MODE"), rows, empty="the set is empty: nothing is granted")
    print_fields([("digest", policies.digest)])


@click.command()
@global_options
def crds() -> None:
    """Print the CustomResourceDefinitions of ClusterIssuancePolicy and IssuancePolicy, for `kubectl apply -f -`."""
    from acme_ra.policy.crds import definitions, render

    if session().json:
        print_json({"apiVersion": "v1", "kind": "List", "items": definitions()})
        return
    click.echo("---\n".join(render(one) for one in definitions()), nl=False)


@click.command()
@global_options
def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of a policy document, for editors that complete and check YAML.

    What only acme-ra checks (name patterns, CEL, durations) `acme-ra policy check` tells.
    """
    from acme_ra.policy.editor_schema import editor_schema

    if session().json:
        print_json(editor_schema())
        return
    click.echo(json.dumps(editor_schema(), indent=2))
