"""Training methods of recipes and their settings: probe, network and boosting."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_LEAST_STD = 0.01  # stops; exp underflows below

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class StrictSettings(BaseModel):
    """Settings of a recipe: unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)


def _zero_or_wide(std: float) -> float:
    if 0 < std < _LEAST_STD:
        raise ValueError(f"use 0 for hard targets, or {_LEAST_STD} or more")
    return std


def _not_one_fold(folds: int) -> int:
    if folds == 1:
        raise ValueError("use 0 folds, or 2 or more")
    return folds


SoftTargetStd = Annotated[float, Field(ge=0, le=100), AfterValidator(_zero_or_wide)]


class _Training(StrictSettings):
    class_weights: bool | list[str] = True

    def weights_classes(self, target: str) -> bool:
        """Return whether the classes of a target are weighted inversely to their frequency."""
        return self.class_weights if isinstance(self.class_weights, bool) else target in self.class_weights


class Probe(_Training):
    """Linear heads on features of a frozen backbone.

    Attributes:
        penalties: Candidate strengths of the L2 penalty on the weights.
        class_weights: Weight classes inversely to their frequency: all targets, none, or those named.
        soft_target_std: Standard deviation in stops of Gaussian soft targets, for ordinal targets; 0 for hard targets.
        standardise: Centre each feature and divide it by its standard deviation in training.
        folds: Select hyperparameters and temperature by cross-validation over training and validation together, to
            which the heads are fitted at the end, once validation is scored; 0 to select on validation.
        random_intercept_variances: Candidate variances of a group's random intercept, in units of the residual
            variance; targets in stops then get a linear mixed model. Without any, they get a softmax regression.
        part_strengths: How much each part of the features tells about a target, by the name of the target or its unit;
            a part of more strength is penalised less. The parts of ``lightmeter`` are ``means`` and ``deviations`` of
            the patches and ``view``, each with four numbers: early, middle and late stages, and the last layer.
    """

    method: Literal["probe"]
    penalties: list[Positive] = Field([1.0, 0.1, 0.01], min_length=1)
    soft_target_std: SoftTargetStd = 0.0
    standardise: bool = True
    folds: Annotated[int, Field(ge=0, le=1000), AfterValidator(_not_one_fold)] = 0
    random_intercept_variances: list[NotNegative] = []
    part_strengths: dict[str, dict[str, list[Positive]]] = {}

    @model_validator(mode="after")
    def _variances_need_folds(self) -> "Probe":
        if self.random_intercept_variances and not self.folds:
            raise ValueError("random_intercept_variances are selected by cross-validation; set folds as well")
        return self


class Phase(StrictSettings):
    """A phase of training.

    Attributes:
        epochs: Maximum number of epochs; a phase ends early when validation no longer improves.
        learning_rate: Learning rate of the optimiser.
        freeze: Prefixes of the names of parameters that are not trained.
        freeze_fraction: Fraction of the backbone's parameters, from its input on, that are not trained either.
    """

    epochs: int = Field(ge=1, le=1_000_000)
    learning_rate: float = Field(gt=0)
    freeze: list[str] = []
    freeze_fraction: float = Field(0.0, ge=0, le=1)


class Network(_Training):
    """Training of a network by gradient descent.

    Attributes:
        phases: Phases in order; each starts from the best weights of the one before.
        optimiser: ``adamw`` decays the weights apart from the gradient (I. Loshchilov and F. Hutter, ICLR 2019);
            ``adam`` uses the same number as an L2 penalty of the loss (D. Kingma and J. Ba, ICLR 2015); ``sgd`` has
            Nesterov momentum.
        momentum: Momentum of ``sgd``.
        schedule: Course of the learning rate in each phase: constant, or falling to 0 as a line or a cosine.
        warmup_epochs: Epochs at the start of each phase in which the learning rate rises to its value.
        clip_norm: Largest L2 norm of the gradient of a step, to which longer ones are shortened; 0 for no limit.
        ema_decay: Decay of an exponential moving average of the weights, which is validated and kept, for example
            0.999; 0 for none.
        batch_size: Photographs in a step, over all devices.
        weight_decay: Strength of the weight decay.
        class_weights: Weight classes inversely to their frequency: all targets, none, or those named.
        soft_target_std: Standard deviation in stops of Gaussian soft targets, for ordinal targets; 0 for hard targets.
        flip: Flip images horizontally at random.
        crop_pixels: Shift images at random by up to this number of pixels; the edge is filled by reflection.
        colour: Change brightness and contrast at random by up to this share; it hides evidence of the exposure.
        blur: Blur at random with a standard deviation of up to this number of pixels; it hides evidence of aperture and
            focus.
        patience: Number of epochs without improvement of the validation loss after which a phase ends.
        cache_activations: Compute the activations of a frozen backbone once and train on them; images are then not
            flipped.
        precision: ``bfloat16`` is used where the GPU supports it.
        channels_last: Use the channels-last memory format in training.
        compile: Compile the network with torch.compile.
    """

    method: Literal["network"]
    phases: list[Phase] = Field(min_length=1)
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    momentum: float = Field(0.9, ge=0, lt=1)
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup_epochs: float = Field(0.0, ge=0)
    clip_norm: float = Field(0.0, ge=0)
    ema_decay: float = Field(0.0, ge=0, lt=1)
    batch_size: int = Field(32, ge=2, le=1_000_000)
    weight_decay: float = Field(0.0, ge=0)
    soft_target_std: SoftTargetStd = 0.0
    flip: bool = True
    crop_pixels: int = Field(0, ge=0, le=1000)
    colour: float = Field(0.0, ge=0, le=1)
    blur: float = Field(0.0, ge=0, le=10)
    patience: int = Field(5, ge=1, le=1_000_000)
    cache_activations: bool = False
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    channels_last: bool = True
    compile: bool = False

    @model_validator(mode="after")
    def _warmup_ends(self) -> "Network":
        if self.warmup_epochs and any(phase.epochs <= self.warmup_epochs for phase in self.phases):
            raise ValueError("warmup_epochs must be less than the epochs of every phase")
        return self

    @model_validator(mode="after")
    def _cached_backbone_is_frozen(self) -> "Network":
        if self.cache_activations and any("backbone" not in phase.freeze for phase in self.phases):
            raise ValueError("cache_activations needs a frozen backbone in every phase: freeze = ['backbone']")
        return self


class Boosting(_Training):
    """Gradient boosting of decision trees on measures of image quality.

    Attributes:
        learning_rate: Shrinkage of each tree.
        class_weights: Weight classes inversely to their frequency: all targets, none, or those named.
    """

    method: Literal["boosting"]
    learning_rate: float = Field(0.05, gt=0, le=1)


Training = Probe | Network | Boosting
