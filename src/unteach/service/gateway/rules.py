"""What is in force: whose keys there are, what each tenant gets, and what stands around every conversation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unteach.lm.model import LM
from unteach.schema import InputError
from unteach.service.gateway import access
from unteach.service.gateway.access import Key, Keyring
from unteach.service.gateway.backend import Refused
from unteach.service.gateway.config import Config, Limits, Tenant
from unteach.service.gateway.policies import Policy, made, version

ALONE = "default"  # the tenant of a gateway without tenants


@dataclass(frozen=True)
class Rules:
    """One state of the configuration; a request keeps to the one that it came under.

    A tenant that the file does not name is refused, unless it names none: then every key gets everything.
    """

    keys: Keyring
    policies: Mapping[str, Policy] = field(default_factory=dict)
    tenants: Mapping[str, Tenant] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    edits: tuple[str, ...] = ()
    version: str = ""

    def tenant(self, key: Key) -> Tenant:
        """What a key's tenant may do."""
        if not self.tenants:
            return Tenant(edits=self.edits)
        if key.tenant not in self.tenants:
            raise Refused(403, "unknown_tenant", "the tenant of this key is not served here; tell the operator")
        return self.tenants[key.tenant]

    def around(self, tenant: Tenant) -> tuple[Policy, ...]:
        """The policies of a tenant, the first outermost; all of them where it chooses none."""
        names = self.policies if tenant.policies is None else tenant.policies
        return tuple(self.policies[name] for name in names)


def edit_of(tenant: Tenant, wanted: str, known: Sequence[str]) -> str:
    """What the model wears for a tenant: the edit that was asked for, or the first that is the tenant's."""
    if not wanted:
        return tenant.edits[0] if tenant.edits else ""
    if wanted not in tenant.edits or wanted not in known:
        raise Refused(
            404, "edit_not_found", "there is no such edit for this key; ask for one of /v1/models", param="model"
        )
    return wanted


def rules(config: Config, place: Path, keys: Keyring | None, *, lm: LM | None, weighs: bool) -> Rules:
    """What a configuration says, its guards fitted; `keys` stand in for its file of keys. Nobody else uses the model.

    Raises:
        InputError: something in it, or in a file that it names, cannot be used.
    """
    if keys is None:
        keys = access.read(place / config.keys)
    if config.edits and not weighs:
        raise InputError("edits change a model whose weights are here; serve a model folder, or leave `edits` out")
    policies = {name: made(name, rule, place, lm, weighs=weighs) for name, rule in config.policies.items()}
    told = version(policies, keys.secret)
    return Rules(keys, policies, config.tenants, config.limits, tuple(config.edits), told)
