"""Receptive fields against analytic Gaussians, finite differences and what Norse 1.1.0 gives."""

import copy
import io
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import norse.torch as snn
from norse.torch.functional.receptive_field import (
    calculate_normalization,
    covariance_matrix,
    derive_kernel,
    derive_spatial_receptive_field,
    derive_spatial_receptive_field_single,
    gaussian_kernel,
    spatial_parameters,
    spatial_receptive_field,
    spatial_receptive_fields_with_derivatives,
    spatio_temporal_parameters,
    temporal_scale_distribution,
)
from norse.torch.module.receptive_field import (
    ParameterizedSpatialReceptiveField2d,
    SampledSpatialReceptiveField2d,
    SpatialReceptiveField2d,
    TemporalReceptiveField,
)

SIZE, DOMAIN = 321, 16.0  # a grid fine and wide enough for sums to be integrals
PIXEL = 2 * DOMAIN / (SIZE - 1)
POSITIONS = torch.linspace(-DOMAIN, DOMAIN, SIZE, dtype=torch.float64)
X, Y = POSITIONS.expand(SIZE, SIZE), POSITIONS[:, None].expand(SIZE, SIZE)
ROWS = torch.tensor(
    [
        [1.5, 0.3, 0.7, 0.5, -0.5, 0, 0],
        [2.0, 1.0, 1.4, 0.0, 0.3, 1, 0],
        [1.0, -0.5, 1.0, 0.2, 0.0, 2, 1],
        [2.5, 2.0, 1.2, 0.0, 0.0, 0, 1],
        [1.2, 0.1, 0.9, 0.1, 0.1, 1, 0],  # the same orders as a row before, not next to it
    ],
    dtype=torch.float64,
)


def field(scale=2.0, angle=0.4, ratio=1.5, x=0.0, y=0.0, size=SIZE, dx=0, dy=0, domain=DOMAIN):
    values = (torch.tensor(value, dtype=torch.float64) for value in (scale, angle, ratio, x, y))
    return spatial_receptive_field(*values, size, dx, dy, domain)


def close(a, b, **tolerances):
    torch.testing.assert_close(a, b, **tolerances)


class TestGaussians:
    def test_a_covariance_matrix_has_the_squared_deviations_as_eigenvalues_and_the_axis_as_eigenvector(self):
        c = covariance_matrix(torch.tensor(3.0), torch.tensor(0.5), torch.tensor(0.7))
        axis, across = torch.tensor([math.cos(0.7), math.sin(0.7)]), torch.tensor([-math.sin(0.7), math.cos(0.7)])
        close(c @ axis, 9 * axis)
        close(c @ across, 0.25 * across)

    def test_a_gaussian_kernel_is_the_density_of_a_normal_distribution(self):
        c = covariance_matrix(*(torch.tensor(value, dtype=torch.float64) for value in (2.0, 1.2, 0.3)))
        mean = torch.tensor([0.5, -1.0], dtype=torch.float64)
        normal = torch.distributions.MultivariateNormal(mean, c)
        close(gaussian_kernel(SIZE, c, *mean, DOMAIN), normal.log_prob(torch.stack([X, Y], -1)).exp())

    @settings(deadline=None)
    @given(
        st.floats(0.01, 20), st.floats(-7, 7), st.floats(0.3, 3), st.floats(-5, 5), st.floats(-5, 5), st.integers(1, 12)
    )
    def test_a_field_sums_to_one(self, scale, angle, ratio, x, y, size):
        close(field(scale, angle, ratio, x, y, size).sum().item(), 1.0)

    def test_a_fields_moments_are_its_centre_and_its_covariance(self):
        g = field(scale=2.0, angle=0.4, ratio=1.5, x=1.0, y=-2.0)
        mean_x, mean_y = (g * X).sum(), (g * Y).sum()
        close(torch.stack([mean_x, mean_y]), torch.tensor([1.0, -2.0], dtype=torch.float64))
        u, w = X - mean_x, Y - mean_y
        moments = torch.stack([(g * u * u).sum(), (g * u * w).sum(), (g * u * w).sum(), (g * w * w).sum()])
        cos, sin, along, across = math.cos(0.4), math.sin(0.4), 2 * 1.5**2, 2 / 1.5**2
        cxy = (along - across) * cos * sin
        expected = [along * cos**2 + across * sin**2, cxy, cxy, along * sin**2 + across * cos**2]
        close(moments, torch.tensor(expected, dtype=torch.float64))

    def test_a_very_narrow_field_between_two_pixels_stays_a_number(self):
        close(field(scale=1e-6, size=4, domain=8).sum().item(), 1.0)

    @pytest.mark.parametrize(("dx", "dy"), [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1)])
    def test_turning_the_angle_by_a_right_angle_turns_the_image(self, dx, dy):
        upright, turned = (field(angle=angle, size=15, domain=5, dx=dx, dy=dy) for angle in (0.4, 0.4 + math.pi / 2))
        close(turned, torch.rot90(upright, -1))

    def test_the_inverse_ratio_is_a_right_angle(self):
        close(field(ratio=1.5, angle=0.4), field(ratio=1 / 1.5, angle=0.4 + math.pi / 2))

    def test_fields_come_in_batches(self):
        scales, angles = torch.rand(3, 1) + 1, torch.rand(2)
        one, zero = torch.tensor(1.2), torch.tensor(0.0)
        batch = spatial_receptive_field(scales, angles, one, zero, zero, 7, 1, 1)
        assert batch.shape == (3, 2, 7, 7)
        close(batch[2, 1], spatial_receptive_field(scales[2, 0], angles[1], one, zero, zero, 7, 1, 1))

    def test_numbers_are_those_of_norse_1_1_0(self):
        """Printed by Norse 1.1.0, whose fields have no centre: `spatial_receptive_field(2, 0.3, 0.5, 5, domain=3)`."""
        expected = [
            [0.000000, 0.000682, 0.058293, 0.079980, 0.001762],
            [0.000004, 0.005949, 0.154470, 0.064409, 0.000431],
            [0.000055, 0.027087, 0.213757, 0.027087, 0.000055],
            [0.000431, 0.064409, 0.154470, 0.005949, 0.000004],
            [0.001762, 0.079980, 0.058293, 0.000682, 0.000000],
        ]
        ours = spatial_receptive_field(*map(torch.tensor, (2.0, 0.3, 0.5, 0.0, 0.0)), size=5, domain=3)
        close(ours, torch.tensor(expected), atol=1e-6, rtol=0)


class TestDerivatives:
    def test_a_linear_image_has_its_slope_as_derivative_everywhere(self):
        image = 3 * X - 2 * Y
        slope = PIXEL * (3 * math.cos(0.6) - 2 * math.sin(0.6))
        close(derive_kernel(image, 0.6), torch.full_like(image, slope))

    def test_derivatives_are_central_inside_and_one_sided_at_the_edges(self):
        squares = (torch.arange(5.0) ** 2).expand(5, 5)
        close(derive_kernel(squares, 0.0)[0], torch.tensor([1.0, 2.0, 4.0, 6.0, 7.0]))

    @pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, 1), (1, 1), (2, 0), (0, 2)])
    def test_a_fields_derivatives_are_those_of_the_gaussian(self, dx, dy):
        scale, angle, ratio = 4.0, 0.4, 1.3
        along, across = X * math.cos(angle) + Y * math.sin(angle), Y * math.cos(angle) - X * math.sin(angle)
        variances = scale * ratio**2, scale / ratio**2
        g = field(scale, angle, ratio)
        # Hermite polynomials: ∂g = -p/σ² g, ∂²g = (p²/σ⁴ - 1/σ²) g
        factors = [
            (1, -position / variance, (position / variance) ** 2 - 1 / variance)[order]
            for position, variance, order in zip((along, across), variances, (dx, dy), strict=True)
        ]
        expected = g * factors[0] * factors[1] * (scale * PIXEL) ** (dx + dy)
        inside = slice(3, -3)
        error = (field(scale, angle, ratio, dx=dx, dy=dy) - expected)[inside, inside].abs().max()
        assert error < 0.01 * expected.abs().max()

    def test_derivatives_alternate_between_the_axis_and_across_it(self):
        g, across = field(size=9), 0.4 + math.pi / 2
        expected = 8 * derive_kernel(derive_kernel(derive_kernel(g, 0.4), across), across)
        assert torch.equal(derive_spatial_receptive_field_single(g, 2.0, 0.4, 1, 2), expected)

    def test_a_list_of_derivatives_is_a_stack(self):
        g, orders = field(size=9), [(0, 0), (2, 1), (0, 1)]
        stack = derive_spatial_receptive_field(g, 2.0, 0.4, orders)
        for derived, (dx, dy) in zip(stack, orders, strict=True):
            assert torch.equal(derived, derive_spatial_receptive_field_single(g, 2.0, 0.4, dx, dy))

    @pytest.mark.parametrize(
        ("order", "scale", "gamma", "expected"),
        # printed by Norse 1.1.0
        [(0, 3.0, 1, 3.0), (2, 3.0, 1, 3.0), (0, 3.0, 2, 9.0), (2, 3.0, 0.5, 5.196152422706632), (3, 2.0, 2, 0.5)],
    )
    def test_normalisation(self, order, scale, gamma, expected):
        assert calculate_normalization(order, scale, gamma) == pytest.approx(expected)
        close(calculate_normalization(order, torch.tensor(scale), gamma), torch.tensor(expected))


class TestTables:
    SCALES, ANGLES, RATIOS = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.0, 1.0]), torch.tensor([1.0, 0.5])
    X, Y = torch.tensor([0.0, 3.0]), torch.tensor([-1.0])

    @staticmethod
    def rows(keep, derivatives, ratios):
        return [
            [scale, angle, ratio, x, -1.0, dx, dy]
            for scale in (1.0, 2.0)
            for angle in (0.5, 0.0, 1.0)
            for ratio in ratios
            for x in (0.0, 3.0)
            for dx, dy in derivatives
            if keep(angle)
        ]

    def test_stretched_fields_come_first_and_circular_ones_at_the_first_angle(self):
        table = spatial_parameters(self.SCALES, self.ANGLES, self.RATIOS, 1, self.X, self.Y)
        derivatives = [(0, 0), (0, 1), (1, 0)]
        stretched = self.rows(lambda angle: True, derivatives, (0.5,))
        circular = self.rows(lambda angle: angle == 0.5, derivatives, (1.0,))
        assert table.tolist() == stretched + circular

    def test_replicas_are_the_plain_product(self):
        table = spatial_parameters(self.SCALES, self.ANGLES, self.RATIOS, [(2, 1)], self.X, self.Y, True)
        assert table.tolist() == self.rows(lambda angle: True, [(2, 1)], (1.0, 0.5))

    @pytest.mark.parametrize(("number", "pairs"), [(0, 1), (1, 3), (2, 8), (3, 15)])
    def test_a_number_of_derivatives_means_all_pairs_but_the_highest(self, number, pairs):
        one = torch.tensor([1.0])
        orders = spatial_parameters(one, one, one, number)[:, 5:].tolist()
        assert len(orders) == pairs
        assert [number, number] not in orders or number == 0

    def test_derivatives_may_be_a_tensor(self):
        one = torch.tensor([1.0])
        pairs = torch.tensor([[0, 2], [1, 0]])
        assert torch.equal(
            spatial_parameters(one, one, one, pairs), spatial_parameters(one, one, one, [(0, 2), (1, 0)])
        )

    def test_every_row_of_a_table_is_its_own_field(self):
        fields = spatial_receptive_fields_with_derivatives(ROWS, 9, 6)
        for row, kernel in zip(ROWS, fields, strict=True):
            close(kernel, spatial_receptive_field(*row[:5], 9, int(row[5]), int(row[6]), 6))

    def test_temporal_scales_vary_fastest(self):
        spatial = spatial_parameters(self.SCALES, self.ANGLES, self.RATIOS, 1)
        table = spatio_temporal_parameters(self.SCALES, self.ANGLES, self.RATIOS, 1, torch.tensor([2.0, 3.0]))
        assert table.tolist() == [[*row, time] for row in spatial.tolist() for time in (2.0, 3.0)]

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        # printed by Norse 1.1.0
        [
            ((4,), [1.0, 1.414210, 1.999990, 2.828406]),
            ((4, 2.0), [1.414214, 1.999995, 2.828413, 3.999970]),
            ((4, 1, 10.0), [10.0, 6.812921, 4.641589, 3.162278]),
            ((3, 1, None, 2.0), [1.0, 2.0, 4.0]),
            ((1, 2.0, 5.0), [1.414214]),
        ],
    )
    def test_temporal_scales_are_a_geometric_series(self, arguments, expected):
        close(temporal_scale_distribution(*arguments), torch.tensor(expected), atol=1e-6, rtol=1e-6)


class TestGradients:
    def test_fields_have_the_gradients_of_finite_differences(self):
        shapes, orders = ROWS[:, :5].clone().requires_grad_(), ROWS[:, 5:]
        assert torch.autograd.gradcheck(
            lambda shapes: spatial_receptive_fields_with_derivatives(torch.cat([shapes, orders], 1), 5, 4), shapes
        )

    def test_torch_func_grad_gives_the_same_gradients(self):
        weights = torch.rand(5, 5, 5, dtype=torch.float64)

        def loss(rows):
            return (weights * spatial_receptive_fields_with_derivatives(rows, 5, 4)).sum()

        rows = ROWS.clone().requires_grad_()
        loss(rows).backward()
        close(torch.func.grad(loss)(ROWS), rows.grad)
        assert (rows.grad[:, :5] != 0).all()
        assert torch.equal(rows.grad[:, 5:], torch.zeros(5, 2, dtype=torch.float64))

    def test_torch_func_vmap_gives_a_field_per_scale(self):
        scales, zero = torch.tensor([1.0, 2.0]), torch.tensor(0.0)

        def one(scale):
            return spatial_receptive_field(scale, zero, scale, zero, zero, 5, 1, 1)

        close(torch.func.vmap(one)(scales), torch.stack([one(scale) for scale in scales]))

    def test_gradients_flow_through_a_table_to_what_it_was_made_of(self):
        def loss(scales):
            table = spatial_parameters(scales, torch.tensor([0.3]), torch.tensor([1.0, 2.0]), 1)
            return spatial_receptive_fields_with_derivatives(table, 5, 4).square().sum()

        scales = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(loss, scales)
        loss(scales).backward()
        close(torch.func.grad(loss)(scales.detach()), scales.grad)


SCALES, ANGLES, RATIOS = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.5]), torch.tensor([0.5, 1.0])
TABLE = spatial_parameters(SCALES, ANGLES, RATIOS, 1, torch.tensor([0.5]), torch.tensor([-0.5]))


def spatial(**options):
    return SpatialReceptiveField2d(3, 5, TABLE, **options)


def sampled(**options):
    return SampledSpatialReceptiveField2d(
        3, 5, SCALES, ANGLES, RATIOS, 1, torch.tensor([0.5]), torch.tensor([-0.5]), **options
    )


def parameterized(**options):
    return ParameterizedSpatialReceptiveField2d(
        3, 5, SCALES, ANGLES, RATIOS, 1, torch.tensor([0.5]), torch.tensor([-0.5]), **options
    )


def fixed(make, **options):
    if make is spatial:
        return make(optimize_fields=False, **options)
    return make(**{f"optimize_{name}": False for name in ("scales", "angles", "ratios", "x", "y")}, **options)


@pytest.mark.parametrize("make", [spatial, sampled, parameterized])
class TestConvolutions:
    x = torch.rand(2, 3, 8, 8)

    def test_a_module_convolves_with_the_fields_of_its_table(self, make):
        kernels = spatial_receptive_fields_with_derivatives(TABLE, 5, 8)
        expected = torch.nn.functional.conv2d(self.x.sum(1, keepdim=True), kernels[:, None], stride=2, padding=1)
        for module in (make(stride=2, padding=1), fixed(make, stride=2, padding=1)):
            close(module(self.x), expected, atol=1e-5, rtol=1e-5)
            close(module.rf_parameters, TABLE)
            assert module.weights.shape == (18, 3, 5, 5)
            assert module.out_channels == 18

    def test_not_aggregated_fields_keep_the_input_channels_apart(self, make):
        for module in (make(aggregate=False), fixed(make, aggregate=False)):
            out = module(self.x)
            assert module.out_channels == out.shape[1] == 54
            close(out, torch.nn.functional.conv2d(self.x, module.weights), atol=1e-5, rtol=1e-5)
            kernels = spatial_receptive_fields_with_derivatives(TABLE, 5, 8)[:, None]
            for channel in range(3):
                alone = torch.nn.functional.conv2d(self.x[:, channel : channel + 1], kernels)
                close(out[:, 18 * channel : 18 * (channel + 1)], alone, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("log", [True, False])
    def test_kernels_follow_every_step_of_an_optimiser(self, make, log):
        module = make(optimize_log=log)
        optimiser = torch.optim.SGD(module.parameters(), lr=1e-3)
        for _ in range(3):
            before = module.rf_parameters.detach().clone()
            optimiser.zero_grad()
            module(self.x).square().mean().backward()
            assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters())
            optimiser.step()
            now = module.rf_parameters.detach()
            assert (now[:, :5] != before[:, :5]).any(0).all()
            assert torch.equal(now[:, 5:], TABLE[:, 5:])
            kernels = spatial_receptive_fields_with_derivatives(now, 5, 8)
            expected = torch.nn.functional.conv2d(self.x.sum(1, keepdim=True), kernels[:, None])
            close(module(self.x), expected, atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize("log", [True, False])
    def test_parameters_have_the_gradients_of_finite_differences(self, make, log):
        module, x = make(optimize_log=log).double(), self.x[:1, :, :5, :5].double()
        names, values = zip(*module.named_parameters(), strict=True)
        assert len(names) == 5

        def loss(*values):
            return torch.func.functional_call(module, dict(zip(names, values, strict=True)), x).square().sum()

        assert torch.autograd.gradcheck(loss, [value.detach().requires_grad_() for value in values])

    def test_logarithms_keep_scales_and_ratios_above_zero(self, make):
        module = make()
        assert {"log_scales", "log_ratios"} < dict(module.named_parameters()).keys()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter -= 20
        assert (module.scales > 0).all()
        assert (module.ratios > 0).all()
        close(make().scales.unique(), SCALES)

    def test_fixed_fields_have_nothing_to_learn_and_nothing_to_save(self, make):
        module = fixed(make)
        assert not list(module.parameters())
        assert not module.state_dict()

    def test_copies_pickles_and_saved_states_give_the_same_responses(self, make):
        module = make()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += 0.1 * torch.rand_like(parameter)
        copies = [copy.deepcopy(module), pickle.loads(pickle.dumps(module)), make()]
        file = io.BytesIO()
        torch.save(module.state_dict(), file)
        file.seek(0)
        copies[2].load_state_dict(torch.load(file))
        for other in copies:
            assert torch.equal(other(self.x), module(self.x))
            other(self.x).sum().backward()
            assert all(parameter.grad is not None for parameter in other.parameters())
        assert all(parameter.grad is None for parameter in module.parameters())

    def test_a_state_saved_as_logarithms_is_not_taken_for_plain_numbers(self, make):
        with pytest.raises(RuntimeError, match="log_scales"):
            make(optimize_log=False).load_state_dict(make().state_dict())

    def test_double_precision(self, make):
        for module in (make().to(torch.float64), fixed(make).to(torch.float64)):
            out = module(self.x.double())
            assert out.dtype == torch.float64
            kernels = spatial_receptive_fields_with_derivatives(TABLE.double(), 5, 8)
            expected = torch.nn.functional.conv2d(self.x.double().sum(1, keepdim=True), kernels[:, None])
            close(out, expected, atol=1e-5, rtol=1e-5)

    def test_a_bias_is_added_and_learnt_if_it_is_a_parameter(self, make):
        plain, bias = make(), torch.arange(18.0)
        close(make(bias=bias)(self.x), plain(self.x) + bias[:, None, None])
        learnt = make(bias=torch.nn.Parameter(bias))
        learnt(self.x).sum().backward()
        close(learnt.bias.grad, torch.full((18,), 2.0 * 4 * 4))

    def test_one_image_without_a_batch(self, make):
        close(make()(self.x[0]), make()(self.x)[0], atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"groups": 3}, TypeError, "got groups"),
            ({"bias": True}, ValueError, r"argument bias: expects a tensor \[18\], got True"),
            ({"bias": torch.zeros(3)}, ValueError, r"argument bias: expects a tensor \[18\], got \[3\]"),
        ],
    )
    def test_options_that_are_none_of_a_convolution_are_refused(self, make, options, error, message):
        with pytest.raises(error, match=message):
            make(**options)

    @pytest.mark.parametrize("shape", [(2, 4, 8, 8), (8, 8), (1, 2, 3, 8, 8)])
    def test_images_of_another_shape_are_refused(self, make, shape):
        with pytest.raises(ValueError, match=r"argument x: expects \[B, 3, H, W\]"):
            make()(torch.zeros(shape))


class TestWhatIsShared:
    def test_sampled_fields_share_their_quantities(self):
        assert [parameter.shape for parameter in sampled().parameters()] == [(2,), (2,), (2,), (1,), (1,)]

    def test_parameterized_fields_have_quantities_of_their_own(self):
        assert [parameter.shape for parameter in parameterized().parameters()] == [(18,)] * 5

    @pytest.mark.parametrize("make", [sampled, parameterized])
    @pytest.mark.parametrize("name", ["scales", "angles", "ratios", "x", "y"])
    def test_each_quantity_may_stay_as_it_is(self, make, name):
        module = make(**{f"optimize_{name}": False})
        learnt = {key.removeprefix("log_") for key, _ in module.named_parameters()}
        assert learnt == {"scales", "angles", "ratios", "x", "y"} - {name}

    def test_a_ratio_that_leaves_one_keeps_its_fields(self):
        module = sampled(optimize_log=False)
        with torch.no_grad():
            module.ratios.copy_(torch.tensor([1.0, 1.7]))
        assert module.rf_parameters.shape == TABLE.shape
        assert module.rf_parameters[:, 2].tolist() == pytest.approx([1.0] * 12 + [1.7] * 6)

    def test_a_field_learns_the_scale_and_the_place_of_another(self):
        target = torch.tensor([[3.0, 0.6, 1.5, 1.0, -1.0, 0, 0]])
        x = torch.rand(8, 1, 12, 12, generator=torch.Generator().manual_seed(1))
        expected = SpatialReceptiveField2d(1, 9, target, optimize_fields=False)(x)
        start = torch.tensor([[1.5, 0.2, 1.2, 0.0, 0.0, 0, 0]])
        module = SpatialReceptiveField2d(1, 9, start)
        optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
        for _ in range(300):
            optimiser.zero_grad()
            torch.nn.functional.mse_loss(module(x), expected).backward()
            optimiser.step()
        close(module.rf_parameters.detach(), target, atol=0.02, rtol=0)


class TestTemporalFields:
    def test_the_scales_are_a_new_dimension_before_the_shape(self):
        fields = TemporalReceptiveField((2, 5, 6), n_scales=3)
        for batch in ((), (4,), (7, 4)):
            out, state = fields(torch.rand(*batch, 2, 5, 6))
            assert out.shape == state.v.shape == (*batch, 3, 2, 5, 6)

    def test_an_impulse_decays_with_each_scales_time_constant(self):
        """v_t = (dt/τ) (1 - dt/τ)^t with τ/dt = c^(k - 1)."""
        fields, state, ticks = TemporalReceptiveField((2,), n_scales=4, c=1.5), None, []
        for tick in range(10):
            out, state = fields(torch.full((1, 2), float(tick == 0)), state)
            ticks.append(out[0, :, 1])
        rates = 1 / 1.5 ** torch.arange(4.0)
        expected = rates * (1 - rates) ** torch.arange(10.0)[:, None]
        close(torch.stack(ticks), expected, atol=1e-6, rtol=1e-5)

    def test_time_constants_are_independent_of_the_time_step_in_ticks(self):
        x = torch.rand(3, 2)
        close(TemporalReceptiveField((2,), dt=0.01)(x)[0], TemporalReceptiveField((2,), dt=0.001)(x)[0])

    def test_time_constants_are_learnt_for_every_scale_and_channel(self):
        fields = TemporalReceptiveField((2, 3, 3), n_scales=4).double()
        (rates,) = fields.parameters()
        assert rates.shape == (4, 2, 1, 1)
        x = torch.rand(6, 1, 2, 3, 3, dtype=torch.float64)

        def loss(rates):
            names = [name for name, _ in fields.named_parameters()]
            total, state = 0, None
            for tick in x:
                out, state = torch.func.functional_call(fields, {names[0]: rates}, (tick, state))
                total = total + out.square().sum()
            return total

        assert torch.autograd.gradcheck(loss, (0.5 * rates).detach().requires_grad_(), eps=1e-3)

    def test_every_backward_has_a_graph_of_its_own(self):
        fields = TemporalReceptiveField((2,))
        optimiser = torch.optim.SGD(fields.parameters(), lr=1.0)
        before = next(fields.parameters()).detach().clone()
        for _ in range(2):
            _, state = fields(torch.ones(1, 2))
            out, _ = fields(torch.ones(1, 2), state)
            out.sum().backward()
            optimiser.step()
        assert (next(fields.parameters()) != before).any()

    @pytest.mark.parametrize(
        ("time_constants", "expected"),
        [
            (torch.tensor([100.0, 200.0]), [[0.1, 0.1], [0.2, 0.2]]),
            (torch.tensor([[100.0, 200.0], [300.0, 400.0]]), [[0.1, 0.2], [0.3, 0.4]]),
            (torch.tensor([[100.0], [300.0]]), [[0.1, 0.1], [0.3, 0.3]]),
        ],
    )
    def test_time_constants_may_be_given(self, time_constants, expected):
        out, _ = TemporalReceptiveField((2, 3), n_scales=2, time_constants=time_constants)(torch.ones(1, 2, 3))
        close(out[0, :, :, 0], torch.tensor(expected))

    def test_other_neurons_may_be_used(self):
        fields = TemporalReceptiveField(
            (2,), activation=snn.LIFBoxCell, activation_state_map=lambda t: snn.LIFBoxParameters(tau_mem_inv=t)
        )
        z, state = fields(torch.full((1, 2), 1.5))
        assert z[0, :, 0].tolist() == [1, 1, 0, 0]  # only those that reach 1 in one tick
        close(state.v[0, :, 0], torch.tensor([0.0, 0.0, 0.75, 0.53]), atol=1e-3, rtol=0)

    def test_it_is_a_stateful_module_of_a_sequence(self):
        fields = TemporalReceptiveField((2,))
        model = snn.SequentialState(fields, snn.LIFCell())
        out, state = model(torch.ones(3, 2))
        assert out.shape == (3, 4, 2)
        again, _ = model(torch.ones(3, 2), state)
        assert again.shape == (3, 4, 2)

    def test_copies_pickles_and_saved_states_give_the_same_output(self):
        fields, x = TemporalReceptiveField((2, 3, 3)), torch.rand(4, 2, 3, 3)
        with torch.no_grad():
            next(fields.parameters()).mul_(0.5)
        loaded = TemporalReceptiveField((2, 3, 3))
        loaded.load_state_dict(fields.state_dict())
        for other in (copy.deepcopy(fields), pickle.loads(pickle.dumps(fields)), loaded):
            assert torch.equal(other(x)[0], fields(x)[0])
        assert fields.to(torch.float64)(x.double())[0].dtype == torch.float64


ONE = torch.tensor(1.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: spatial_receptive_field(ONE, ONE, ONE, ONE, ONE, 0), ValueError, "argument size"),
        (lambda: spatial_receptive_field(ONE, ONE, ONE, ONE, ONE, 5, dx=-1), ValueError, r"dx, dy.*got \(-1, 0\)"),
        (lambda: spatial_receptive_field(ONE, ONE, ONE, ONE, ONE, 1, dx=1), ValueError, "at least 2 pixels"),
        (lambda: gaussian_kernel(5, torch.ones(3, 3), ONE, ONE), ValueError, "argument c"),
        (lambda: derive_kernel(torch.ones(5), 0.0), ValueError, "argument kernel"),
        (lambda: spatial_receptive_fields_with_derivatives(TABLE[:, :5], 5), ValueError, "scale, angle, ratio, x, y"),
        (lambda: spatial_receptive_fields_with_derivatives(TABLE + 0.5, 5), ValueError, "whole numbers.*got 0.5"),
        (lambda: spatial_parameters(ONE, ONE, ONE, -1), ValueError, "argument derivatives.*got -1"),
        (lambda: spatial_parameters(ONE, ONE, ONE, [(1, 2, 3)]), ValueError, "argument derivatives"),
        (lambda: spatial_parameters(ONE, ONE, ONE, [(1, -2)]), ValueError, "argument derivatives"),
        (lambda: spatial_parameters(ONE, torch.ones(2, 2), ONE, 1), ValueError, "argument angles.*one dimension"),
        (lambda: temporal_scale_distribution(-1), ValueError, "argument n_scales"),
        (lambda: temporal_scale_distribution(3, 0), ValueError, "argument min_scale"),
        (lambda: temporal_scale_distribution(3, 1, -2.0), ValueError, "argument max_scale"),
        (lambda: temporal_scale_distribution(3, c=None), ValueError, "max_scale or c"),
        (lambda: SpatialReceptiveField2d(0, 5, TABLE), ValueError, "argument in_channels"),
        (lambda: SpatialReceptiveField2d(1, 1, TABLE), ValueError, "argument size.*at least 2"),
        (lambda: SpatialReceptiveField2d(1, 5, TABLE[:0]), ValueError, "at least one field"),
        (lambda: SpatialReceptiveField2d(1, 5, TABLE[:, :6]), ValueError, r"got shape \[18, 6\]"),
        (lambda: SpatialReceptiveField2d(1, 5, -TABLE.abs()), ValueError, "expects"),
        (lambda: SampledSpatialReceptiveField2d(1, 5, -SCALES, ANGLES, RATIOS, 1), ValueError, "argument scales"),
        (lambda: SampledSpatialReceptiveField2d(1, 5, SCALES, ANGLES, 0 * RATIOS, 1), ValueError, "argument ratios"),
        (lambda: TemporalReceptiveField(2), TypeError, "argument shape.*got 2"),
        (lambda: TemporalReceptiveField(()), ValueError, "argument shape"),
        (lambda: TemporalReceptiveField((2,), n_scales=0), ValueError, "argument n_scales"),
        (lambda: TemporalReceptiveField((2,), dt=0), ValueError, "argument dt"),
        (lambda: TemporalReceptiveField((2,), time_constants=torch.ones(3)), ValueError, "argument time_constants"),
        (lambda: TemporalReceptiveField((2,))(torch.ones(4, 3)), ValueError, r"argument x: expects \[..., 2\]"),
        (lambda: TemporalReceptiveField((2, 3, 3))(torch.ones(2)), ValueError, "argument x"),
        (
            lambda: TemporalReceptiveField((2,), activation_state_map=lambda t: snn.LIBoxParameters(tau_mem_inv=2 * t)),
            ValueError,
            "argument activation_state_map",
        ),
    ],
)
def test_bad_input_is_refused_with_its_name(call, error, message):
    with pytest.raises(error, match=message):
        call()
