"""The JSON bodies of `/v1/files`, in the shape of OpenAI's."""

from typing import Literal, Self

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt

from service.uploads.storage import Upload


class DatasetBody(BaseModel):
    """What an uploaded data set holds."""

    kind: Literal["image", "events"]
    samples: PositiveInt
    classes: dict[str, PositiveInt] = Field(
        description="Samples of each label; of each class id where an `.npz` names the classes by number."
    )
    sha256: str = Field(description="Of the file's content.")


class FileBody(BaseModel):
    """An uploaded file."""

    id: str
    object: Literal["file"]
    bytes: NonNegativeInt
    created_at: int = Field(description="Unix seconds.")
    filename: str
    purpose: Literal["fine-tune"]
    status: Literal["processed"]
    dataset: DatasetBody

    @classmethod
    def of(cls, upload: Upload) -> Self:
        """The body that tells of an upload."""
        dataset = upload.dataset
        return cls(
            id=upload.id,
            object="file",
            bytes=upload.bytes,
            created_at=int(upload.created_at),
            filename=upload.filename,
            purpose=upload.purpose,
            status="processed",
            dataset=DatasetBody(
                kind=dataset.kind, samples=dataset.samples, classes=dict(dataset.classes), sha256=upload.sha256
            ),
        )


class FileDeleted(BaseModel):
    """Which file was deleted."""

    id: str
    object: Literal["file"]
    deleted: Literal[True]


class FileForm(BaseModel):
    """The form of an upload."""

    file: str = Field(json_schema_extra={"format": "binary"}, description="A `.zip` or `.npz` data set.")
    purpose: Literal["fine-tune"]
