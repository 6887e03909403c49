"""The expected strides, channels and layers of each registered network."""

from __future__ import annotations

HALVES = [2, 4, 8, 16, 32]
POOLED_STEM = [4, 4, 8, 16, 32]
ALEXNET = [96, 256, 384, 384, 256]
VGG = ([1, 2, 4, 8, 16], [64, 128, 256, 512, 512], 4096, "classifier.6.")
RESNET = (POOLED_STEM, [64, 64, 128, 256, 512], 512, "fc.")
BOTTLENECKS = (POOLED_STEM, [64, 256, 512, 1024, 2048], 2048, "fc.")

# name -> strides of the stages, their channels, length of the tail's vector, how the classifier's layers are named
TABLE: dict[str, tuple[list[int], list[int], int, str | None]] = {
    "small": ([2, 4, 8, 16], [16, 32, 64, 128], 128, None),
    "lenet": ([1, 2, 4], [6, 16, 16], 84, "classifier."),
    "alexnet_original": ([4, 8, 16, 16, 16], ALEXNET, 4096, "fc8."),
    "caffenet": ([4, 8, 16, 16, 16], ALEXNET, 4096, "fc8."),
    "caffenet_padded": ([4, 8, 16, 16, 16], ALEXNET, 4096, "fc8."),
    "zf": ([2, 8, 16, 16, 16], ALEXNET, 4096, "fc8."),
    "vgg_cnn_m_1024": ([2, 8, 16, 16, 16], [96, 256, 512, 512, 512], 1024, "fc8."),
    **{f"resnet{layers}_original": BOTTLENECKS for layers in (50, 101, 152)},
    "alexnet": ([4, 8, 16, 16, 16], [64, 192, 384, 256, 256], 4096, "classifier.6."),
    **{f"vgg{layers}{norm}": VGG for layers in (11, 13, 16, 19) for norm in ("", "_bn")},
    "googlenet": (HALVES, [64, 192, 480, 832, 1024], 1024, "fc."),
    "resnet18": RESNET,
    "resnet34": RESNET,
    "resnet50": BOTTLENECKS,
    "resnet101": BOTTLENECKS,
    "resnet152": BOTTLENECKS,
    "resnext50_32x4d": BOTTLENECKS,
    "resnext101_32x8d": BOTTLENECKS,
    "resnext101_64x4d": BOTTLENECKS,
    "wide_resnet50_2": BOTTLENECKS,
    "wide_resnet101_2": BOTTLENECKS,
    "densenet121": (HALVES, [64, 128, 256, 512, 1024], 1024, "classifier."),
    "densenet161": (HALVES, [96, 192, 384, 1056, 2208], 2208, "classifier."),
    "densenet169": (HALVES, [64, 128, 256, 640, 1664], 1664, "classifier."),
    "densenet201": (HALVES, [64, 128, 256, 896, 1920], 1920, "classifier."),
    "squeezenet1_0": ([2, 4, 8, 16], [96, 256, 512, 512], 512, "classifier."),
    "squeezenet1_1": ([2, 4, 8, 16], [64, 128, 256, 512], 512, "classifier."),
    "mobilenet_v2": (HALVES, [16, 24, 32, 96, 1280], 1280, "classifier."),
    "mobilenet_v3_small": (HALVES, [16, 16, 24, 48, 576], 1024, "classifier.3."),
    "mobilenet_v3_large": (HALVES, [16, 24, 40, 112, 960], 1280, "classifier.3."),
    "efficientnet_b0": (HALVES, [16, 24, 40, 112, 1280], 1280, "classifier."),
    "efficientnet_b1": (HALVES, [16, 24, 40, 112, 1280], 1280, "classifier."),
    "efficientnet_b2": (HALVES, [16, 24, 48, 120, 1408], 1408, "classifier."),
    "efficientnet_b3": (HALVES, [24, 32, 48, 136, 1536], 1536, "classifier."),
    "efficientnet_b4": (HALVES, [24, 32, 56, 160, 1792], 1792, "classifier."),
    "efficientnet_b5": (HALVES, [24, 40, 64, 176, 2048], 2048, "classifier."),
    "efficientnet_b6": (HALVES, [32, 40, 72, 200, 2304], 2304, "classifier."),
    "efficientnet_b7": (HALVES, [32, 48, 80, 224, 2560], 2560, "classifier."),
    "efficientnet_v2_s": (HALVES, [24, 48, 64, 160, 1280], 1280, "classifier."),
    "efficientnet_v2_m": (HALVES, [24, 48, 80, 176, 1280], 1280, "classifier."),
    "efficientnet_v2_l": (HALVES, [32, 64, 96, 224, 1280], 1280, "classifier."),
    "convnext_tiny": ([4, 8, 16, 32], [96, 192, 384, 768], 768, "classifier.2."),
    "convnext_small": ([4, 8, 16, 32], [96, 192, 384, 768], 768, "classifier.2."),
    "convnext_base": ([4, 8, 16, 32], [128, 256, 512, 1024], 1024, "classifier.2."),
    "convnext_large": ([4, 8, 16, 32], [192, 384, 768, 1536], 1536, "classifier.2."),
    "regnet_x_400mf": (HALVES, [32, 32, 64, 160, 400], 400, "fc."),
    "regnet_x_800mf": (HALVES, [32, 64, 128, 288, 672], 672, "fc."),
    "regnet_x_1_6gf": (HALVES, [32, 72, 168, 408, 912], 912, "fc."),
    "regnet_x_3_2gf": (HALVES, [32, 96, 192, 432, 1008], 1008, "fc."),
    "regnet_x_8gf": (HALVES, [32, 80, 240, 720, 1920], 1920, "fc."),
    "regnet_x_16gf": (HALVES, [32, 256, 512, 896, 2048], 2048, "fc."),
    "regnet_x_32gf": (HALVES, [32, 336, 672, 1344, 2520], 2520, "fc."),
    "regnet_y_400mf": (HALVES, [32, 48, 104, 208, 440], 440, "fc."),
    "regnet_y_800mf": (HALVES, [32, 64, 144, 320, 784], 784, "fc."),
    "regnet_y_1_6gf": (HALVES, [32, 48, 120, 336, 888], 888, "fc."),
    "regnet_y_3_2gf": (HALVES, [32, 72, 216, 576, 1512], 1512, "fc."),
    "regnet_y_8gf": (HALVES, [32, 224, 448, 896, 2016], 2016, "fc."),
    "regnet_y_16gf": (HALVES, [32, 224, 448, 1232, 3024], 3024, "fc."),
    "regnet_y_32gf": (HALVES, [32, 232, 696, 1392, 3712], 3712, "fc."),
    "regnet_y_128gf": (HALVES, [32, 528, 1056, 2904, 7392], 7392, "fc."),
}
