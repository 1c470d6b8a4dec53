"""The picture's encoder: a small vision transformer made here, warmed up or not, or a public one by id or folder."""

from transformers import ViTConfig, ViTModel

from hybridkit import encoders
from hybridkit.errors import KitError
from hybridkit.imagetext import tiny_vit
from hybridkit.imagetext.tiny_vit import RANDOM, TINY


def base(name: str, image_size: int, patch_size: int) -> ViTModel:
    """The encoder that a run starts from; KitError for one that takes pictures or patches of another size."""
    if name == RANDOM:
        return made(tiny_vit.SHAPE | {"image_size": image_size, "patch_size": patch_size})
    encoders.quiet()
    folder = tiny_vit.folder(image_size, patch_size) if name == TINY else encoders.folder(name)
    try:
        config = ViTConfig.from_pretrained(folder)
        encoders.check_complete(ViTModel, folder)
        found = ViTModel.from_pretrained(folder, add_pooling_layer=False)
    except KitError:
        raise
    except Exception as fault:  # the libraries raise whatever their parser raised
        reason = next((line.strip() for line in str(fault).splitlines() if line.strip()), type(fault).__name__)
        raise KitError(f"The image encoder {name} cannot be loaded ({reason.rstrip('.')}); give a ViT.") from fault
    if (config.image_size, config.patch_size) != (image_size, patch_size):
        raise KitError(
            f"{name} takes pictures of {config.image_size} pixels in patches of {config.patch_size}, but image_size is "
            f"{image_size} and patch_size {patch_size}; set them to those of the encoder."
        )
    return found


def made(shape: dict) -> ViTModel:
    """A vision transformer with random weights, without the pooler that nothing here uses."""
    return ViTModel(ViTConfig.from_dict(shape), add_pooling_layer=False)
