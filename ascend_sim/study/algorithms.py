"""The algorithms of a study, by the names of their programs, with the options that they have."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ascend_sim.config.figure import Strict
from ascend_sim.numerics import DTYPES, DType
from ascend_sim.study import flash, mla, pasa
from ascend_sim.study.arithmetic import Operands, Outcome

Format = Literal["bf16", "fp16"]
Extent = Annotated[int, Field(ge=1, le=2**20)]


class LatentShape(Strict):
    """Multi-head latent attention: *rows* queries (heads times tokens) that share a cache of so many *keys*."""

    SHARED: ClassVar[bool] = True
    """Whether the values are part of the keys."""
    rows: Annotated[int, Field(ge=1, le=4096)]
    keys: Annotated[tuple[Extent, ...], Field(min_length=1)]
    latent_dim: Annotated[int, Field(ge=32, le=4096, multiple_of=32)] = 512
    rope_dim: Annotated[int, Field(ge=32, le=4096, multiple_of=32)] = 64

    @property
    def heads(self) -> int:
        """Matrices of queries."""
        return 1

    @property
    def queries(self) -> tuple[int, int]:
        """Rows and columns of the queries of a head."""
        return self.rows, self.latent_dim + self.rope_dim

    @property
    def value_dim(self) -> int:
        """Columns of the values, which are the first ones of the keys."""
        return self.latent_dim

    @property
    def text(self) -> str:
        """What the tables are headed with."""
        return f"{self.rows} rows, latent {self.latent_dim} + rope {self.rope_dim}"


class HeadShape(Strict):
    """Multi-head attention: each of *heads* has *query_tokens* rows and so many *keys* of its own."""

    SHARED: ClassVar[bool] = False
    heads: Annotated[int, Field(ge=1, le=1024)] = 1
    query_tokens: Annotated[int, Field(ge=1, le=65536)]
    keys: Annotated[tuple[Extent, ...], Field(min_length=1)]
    head_dim: Annotated[int, Field(ge=16, le=1024, multiple_of=16)] = 128

    @property
    def queries(self) -> tuple[int, int]:
        """Rows and columns of the queries of a head."""
        return self.query_tokens, self.head_dim

    @property
    def value_dim(self) -> int:
        """Columns of the values."""
        return self.head_dim

    @property
    def text(self) -> str:
        """What the tables are headed with."""
        heads = f"{self.heads} heads" if self.heads > 1 else "1 head"
        return f"{heads}, {self.query_tokens} query tokens, head_dim {self.head_dim}"


class Algorithm(Strict):
    """An algorithm with its options; *label* is its name in tables, *dtype* the format of its inputs."""

    SHAPE: ClassVar[type[LatentShape | HeadShape]]
    """What it is for."""

    algorithm: str
    label: str = ""
    dtype: Format

    @property
    def name(self) -> str:
        """The name in tables."""
        return self.label.strip() or self.algorithm

    @property
    def format(self) -> DType:
        """The format of its inputs."""
        return DTYPES[self.dtype]

    def compute(self, operands: Operands) -> Outcome:
        """The output for *operands*, which are in the format of this algorithm."""
        raise NotImplementedError


class _Latent(Algorithm):
    SHAPE: ClassVar[type[LatentShape | HeadShape]] = LatentShape
    dtype: Format = "bf16"
    keys_per_block: Annotated[int, Field(ge=128, le=512, multiple_of=128)] = 512


class MlaBase(_Latent):
    """Base FlashAttention for latent attention."""

    algorithm: Literal["mla_base"]

    def compute(self, operands: Operands) -> Outcome:
        """The output for *operands*."""
        return mla.mla_base(operands, self.format, mla.Blocks(self.keys_per_block))


class Amla(_Latent):
    """AMLA, with the *compensation* of rounding or without."""

    algorithm: Literal["amla"]
    compensation: bool = True

    def compute(self, operands: Operands) -> Outcome:
        """The output for *operands*."""
        blocks = mla.Blocks(self.keys_per_block)
        return mla.amla(operands, self.format, blocks, compensation=self.compensation)


class FlashAttention(Algorithm):
    """FlashAttention, with P in the format of the inputs and the softmax in that of *softmax*."""

    SHAPE: ClassVar[type[LatentShape | HeadShape]] = HeadShape
    algorithm: Literal["flash_attention"]
    dtype: Format = "fp16"
    softmax: flash.Softmax = "fp32"
    keys_per_block: Annotated[int, Field(ge=16, multiple_of=16, le=4096)] = 256

    @model_validator(mode="after")
    def _half_precision(self) -> FlashAttention:
        if self.softmax != "fp32" and self.dtype != "fp16":
            raise ValueError(f"softmax: {self.softmax} is for fp16 inputs; write softmax: fp32, or dtype: fp16")
        return self

    def compute(self, operands: Operands) -> Outcome:
        """The output for *operands*."""
        return flash.flash_attention(operands, self.format, self.softmax, flash.Tiles(self.keys_per_block))


class Pasa(Algorithm):
    """PASA, all in fp16; *beta* is the share of the mean that is taken from the scores."""

    SHAPE: ClassVar[type[LatentShape | HeadShape]] = HeadShape
    algorithm: Literal["pasa"]
    dtype: Literal["fp16"] = "fp16"
    beta: Annotated[float, Field(ge=0, lt=1)] = pasa.BETAS[-1]

    def compute(self, operands: Operands) -> Outcome:
        """The output for *operands*."""
        return pasa.pasa(operands, self.beta)


ALGORITHMS: dict[str, type[Algorithm]] = {
    "mla_base": MlaBase,
    "amla": Amla,
    "flash_attention": FlashAttention,
    "pasa": Pasa,
}
"""All algorithms by name."""
