"""A target that labels photographs by the time of day at which they were taken."""

from datetime import datetime

from pydantic import Field

from lightmeter.labels import ClassDefinition, Decision, Definition, PhotoFacts, Target


class HourClass(ClassDefinition):
    """A class and its hours; ``until`` is not included and may be on the next day."""

    start: int = Field(ge=0, lt=24)
    until: int = Field(gt=0, le=24)

    def contains(self, hour: int) -> bool:
        inside = self.start <= hour < self.until
        return inside if self.start < self.until else hour >= self.start or hour < self.until


class TimeOfDayDefinition(Definition):
    """A definition whose classes have hours; hours outside all classes are an ambiguity band."""

    classes: tuple[HourClass, ...] = Field(min_length=2)


class TimeOfDay(Target[TimeOfDayDefinition]):
    definition_type = TimeOfDayDefinition
    exif_columns = ("taken_at",)

    def decide(self, facts: PhotoFacts) -> Decision:
        taken_at = facts.exif.get("taken_at")
        if "T" not in (taken_at or ""):  # no time, or only a date
            return Decision(reason="time unknown")
        hour = datetime.fromisoformat(taken_at).hour
        for hour_class in self.definition.classes:
            if hour_class.contains(hour):
                return Decision(hour_class.name)
        return Decision(reason=f"between the classes ({hour} h)")
