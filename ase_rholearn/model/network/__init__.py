"""The network core: plain torch tensors in, coefficients per species and lambda out.

For every atom the positions of its neighbours become an expansion in radial functions and
spherical harmonics, two of which are coupled to tensors of order lambda (the lambda-SOAP
features; A. Grisafi et al., Phys. Rev. Lett. 120, 036002 (2018)). The weights are applied
before the coupling, so that the features themselves are never formed. Functions of the
invariants, the gates, decide how the tensors are mixed into the coefficients of each species.

Three steps before that are optional. Messages: invariants of every neighbour weigh its share in
a second expansion, so that an atom sees what surrounds its neighbours. Channels: for each l, the
radial functions of all species (and messages) are combined into fewer. Products: couplings of two
of these to each l become further channels, so that what is coupled then is of order four.

Everything here can be compiled by TorchScript and depends on nothing but torch.
"""

from .build import build_network
from .channels import ChannelMixing, Messages, Products, products_of
from .coupling import CoupledPath, CoupledProduct, paths_of
from .expansion import Expansion
from .gates import Gates, layers_of
from .network import DensityNetwork, SpeciesNetwork, readouts_of, species_of
from .options import NetworkOptions
from .radial import NeighborDensity, RadialTable
from .readout import Readout
from .sending import blocks_of_atoms, send

__all__ = [
    "ChannelMixing",
    "CoupledPath",
    "CoupledProduct",
    "DensityNetwork",
    "Expansion",
    "Gates",
    "Messages",
    "NeighborDensity",
    "NetworkOptions",
    "Products",
    "RadialTable",
    "Readout",
    "SpeciesNetwork",
    "blocks_of_atoms",
    "build_network",
    "layers_of",
    "paths_of",
    "products_of",
    "readouts_of",
    "send",
    "species_of",
]
