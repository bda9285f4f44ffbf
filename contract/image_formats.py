"""Which image formats are read beside those that every Pillow reads, and what the first bytes of a file say."""

from PIL import features

try:
    import pi_heif  # an extra: it contains libheif, whose licence is the LGPL
except ImportError:
    HEIC: tuple[str, ...] = ()
else:
    pi_heif.register_heif_opener(thumbnails=False)
    HEIC = ("HEIF",)

AVIF: tuple[str, ...] = ("AVIF",) if features.check("avif") else ()

_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"GIF87a", b"GIF89a")
_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def looks_like_image(data: bytes) -> bool:
    """Whether the first bytes are those of a supported image format, or of HEIC, which may not be supported here."""
    return (
        data.startswith(_STARTS)
        or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
        or (data[4:8] == b"ftyp" and data[8:12] in (*_AVIF_BRANDS, *_HEIC_BRANDS))
    )


def looks_like_heic(data: bytes) -> bool:
    """Whether the first bytes are those of a HEIC file, as phones write it."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS
