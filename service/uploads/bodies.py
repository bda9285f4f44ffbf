"""The JSON bodies of `/v1/files`, in the shape of OpenAI's."""

from typing import Literal, Self

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt

from service.uploads.storage import SUMMARY_CLASSES, Upload


class DatasetBody(BaseModel):
    """The contents of an uploaded data set."""

    kind: Literal["image", "events"]
    samples: PositiveInt
    classes: dict[str, PositiveInt] = Field(
        description="Number of samples of each label, or of each class id if an `.npz` has class ids. Lists show the "
        f"first {SUMMARY_CLASSES} classes."
    )
    class_count: PositiveInt = Field(description="Number of classes.")
    sha256: str = Field(description="SHA-256 of the file's content.")


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
        """The body for an upload."""
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
                kind=dataset.kind,
                samples=dataset.samples,
                classes=dict(dataset.classes),
                class_count=upload.class_count,
                sha256=upload.sha256,
            ),
        )


class FileDeleted(BaseModel):
    """The deleted file."""

    id: str
    object: Literal["file"]
    deleted: Literal[True]


class FileForm(BaseModel):
    """The form of an upload."""

    file: str = Field(json_schema_extra={"format": "binary"}, description="A `.zip` or `.npz` data set.")
    purpose: Literal["fine-tune"]
