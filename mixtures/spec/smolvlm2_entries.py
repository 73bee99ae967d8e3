"""Which published corpus each entry of the released SmolVLM2 mixtures comes from.

The prepared JSON files that the entries name were never published, nor were the scripts that wrote
them. An entry is mapped where a published corpus holds the same rows (its row count agrees with the
corpus's, or the corpus's own filter gives it); elsewhere the entry is unpublished.

Source: huggingface/smollm vision/smolvlm2/scripts/mixtures (entries and row counts).
"""

import re
from collections.abc import Mapping
from typing import Any

_TEXT: Mapping[str, Mapping[str, Any]] = {
    "magpie_pro(l3_80b_mt)": {"corpus": "ov-magpie-l3-mt", "declared": {"bytes_on_disk": 0.89e9}},
    "magpie_pro(l3_80b_st)": {"corpus": "ov-magpie-l3-st", "declared": {"bytes_on_disk": 0.56e9}},
    "magpie_pro(qwen2_72b_st)": {
        "corpus": "ov-magpie-qwen2-st",
        "declared": {"bytes_on_disk": 0.36e9},
    },
    "mathqa": {"corpus": "ov-mathqa"},
}
_VISTA_BYTES = {
    "temporal_niah_qa": 281e9,
    "two_needle_niah_qa": 295e9,
    "hr_video_grid_mcq": 78e9,
    "hr_video_grid_qa": 78e9,
    "spatial_niah_qa": 122e9,
}
_LLAVA_VIDEO = {
    "2-3-m": ("2_3_m", 150.0),
    "1-2-m": ("1_2_m", 90.0),
    "30-60-s": ("30_60_s", 45.0),  # in none of the released mixtures
    "0-30-s": ("0_30_s", 15.0),
}
_LLAVA_VIDEO_PARTS = ("academic_v0_1", "activitynetqa", "nextqa", "youtube_v0_1")

_ENTRIES: Mapping[str, Mapping[str, Any]] = {
    "m4_instruct_multiimage": {
        "corpus": "m4-instruct",
        "where": ["modality == multi-image", "n_media < 5"],
        "note": "prepared as 'fixed_trimmed_less_5_images'; the trimming rule is not published",
    },
    "mammoth-onevision-multiimage-cap6": {
        "corpus": "mammoth-vl-12m",
        "where": ["modality == multi-image", "n_media <= 6"],
        "note": "prepared as 'capped_to_6_images'",
    },
    "mammoth-onevision-video": {
        "corpus": "mammoth-vl-12m",
        "where": ["modality == video"],
        "note": "315,453 rows are the 60K and 255K video files of the hub's revision 3313f2e",
    },
    "mammoth-image-no-llava-onevision": {
        "corpus": "mammoth-vl-12m",
        "unpublished": "rows of MAmmoTH-VL that are not in LLaVA-OneVision; which they are was "
        "never published",
    },
    "LlamaVideo178k-hound-open-ended": {"corpus": "llava-hound"},
    "finevideoqa": {
        "corpus": "finevideo",
        "subset": "qa",
        "declared": {"duration_s": 282.0, "source": "FineVideo card: 4.7 minutes on average"},
        "unpublished": "685 question rows of FineVideo; how they were chosen was never published",
    },
    "videostar-kinetics700": {
        "corpus": "video-star",
        "subset": "kinetics700",
        "where": ["duration_s < 60"],
        "declared": {"duration_s": 10.0, "source": "Kinetics clips last about 10 s"},
    },
    "videostar-starb": {
        "corpus": "video-star",
        "subset": "starb",
        "where": ["duration_s < 60"],
        "declared": {
            "duration_s": 30.0,
            "assumed": ["duration_s"],
            "source": "the middle of 'under a minute'",
        },
    },
    "videostar-finediving": {
        "corpus": "video-star",
        "subset": "finediving",
        "where": ["duration_s < 60"],
        "declared": {
            "duration_s": 30.0,
            "assumed": ["duration_s"],
            "source": "the middle of 'under a minute'",
        },
    },
    "vript_long": {
        "corpus": "vript",
        "subset": "long",
        "declared": {
            "duration_s": 11.0,
            "bytes_on_disk": 822e9,
            "source": "the prepared file's name: avg_11s",
        },
    },
    "vript_short": {
        "corpus": "vript",
        "subset": "short",
        "declared": {
            "duration_s": 5.0,
            "bytes_on_disk": 12e9,
            "source": "the prepared file's name: avg_5s",
        },
    },
    "moviechat:descriptions": {
        "corpus": "moviechat-1k-train",
        "subset": "description",
        "declared": {"duration_s": 446.7, "source": "a probe of the 795 training videos"},
    },
    "ShareGPT4Video": {
        "corpus": "sharegpt4video",
        "declared": {"duration_s": 27.0, "source": "ShareGPT4Video card: 300 h in 40K videos"},
        "note": "prepared as 'checked_qa' with 28,221 rows; what was checked is not published",
    },
}


def origin(name: str, json_path: str) -> dict[str, Any] | None:
    """Return corpus, subset and conditions of a released entry, or None where it is unknown.

    Args:
        name: the entry's name.
        json_path: its prepared file, whose name tells the mean length of VISTA's videos.
    """
    if name in _ENTRIES:
        return {**_ENTRIES[name]}
    if name.startswith("llava-onevision:"):
        subset = name.removeprefix("llava-onevision:")
        if subset in _TEXT:
            return {**_TEXT[subset]}
        return {"corpus": "llava-onevision-data", "subset": subset}
    if match := re.fullmatch(r"LlamaVideo178k-(\S+)", name):
        bucket, middle = _LLAVA_VIDEO.get(match.group(1), ("", 0.0))
        if bucket:
            return {
                "corpus": "llava-video-178k",
                "subset": [f"{bucket}_{part}" for part in _parts(bucket)],
                "declared": {
                    "duration_s": middle,
                    "assumed": ["duration_s"],
                    "source": f"the middle of the bucket {bucket}",
                },
            }
    if name.startswith("vista400k:"):
        subset = name.removeprefix("vista400k:").replace("spatialtemporal", "spatiotemporal")
        found: dict[str, Any] = {"corpus": "vista-400k", "subset": subset}
        if length := re.search(r"avg-(\d+)seconds", json_path):
            found["declared"] = {
                "duration_s": float(length.group(1)),
                "source": f"the prepared file's name: avg-{length.group(1)}seconds",
            }
            if subset in _VISTA_BYTES:
                found["declared"]["bytes_on_disk"] = _VISTA_BYTES[subset]
        return found
    return None


def _parts(bucket: str) -> list[str]:
    """Return the configs of a length bucket; perception tests end at a minute."""
    parts = list(_LLAVA_VIDEO_PARTS)
    return parts if bucket.endswith("_m") else sorted([*parts, "perceptiontest"])
