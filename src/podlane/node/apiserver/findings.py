"""What is wrong with an object, collected in the words of Kubernetes' ``field`` package."""

from __future__ import annotations

from podlane.kit.jsonvalue import Json
from podlane.kube.types import StatusCause


class Findings:
    """Collects causes, one for each field."""

    def __init__(self) -> None:
        self.causes: list[StatusCause] = []

    def add(self, field: str, reason: str, message: str) -> None:
        """Add a cause as it is."""
        self.causes.append(StatusCause(field=field, reason=reason, message=message))

    def required(self, field: str, detail: str = "") -> None:
        """Say that a value is missing."""
        self.add(field, "FieldValueRequired", f"Required value{': ' + detail if detail else ''}")

    def invalid(self, field: str, value: Json, detail: str) -> None:
        """Say why a value cannot be."""
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        self.add(field, "FieldValueInvalid", f"Invalid value: {shown}: {detail}")

    def duplicate(self, field: str, value: str) -> None:
        """Say that a value is there twice."""
        self.add(field, "FieldValueDuplicate", f'Duplicate value: "{value}"')

    def not_found(self, field: str, value: str) -> None:
        """Say that a value names nothing."""
        self.add(field, "FieldValueNotFound", f'Not found: "{value}"')

    def choice(self, field: str, value: str, known: tuple[str, ...]) -> None:
        """Check a value against the only ones that there are."""
        if value not in known:
            listed = ", ".join(f'"{name}"' for name in known)
            self.add(
                field,
                "FieldValueNotSupported",
                f'Unsupported value: "{value}": supported values: {listed}',
            )
