"""Adversarial imitation (GAIL) of an expert that steers a point to the origin, watched by gantools.

The game is one-sided: the policy's gradient sees the discriminator through its rewards alone, which are numbers to it
(Ho and Ermon 2016, arXiv:1606.03476). The rollout is the batch: what the policy did, it has done.

python examples/loops/imitation.py && gantools board runs
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal

import gantools as gt  # see

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=1000)
parser.add_argument("--dim", type=int, default=16)
args = parser.parse_args()

torch.manual_seed(0)
n_envs, horizon = 16, 8
policy = nn.Sequential(nn.Linear(4, args.dim), nn.Tanh(), nn.Linear(args.dim, 2))
log_std = nn.Parameter(torch.zeros(2))
policy.register_parameter("log_std", log_std)
discriminator = nn.Sequential(nn.Linear(6, args.dim), nn.Tanh(), nn.Linear(args.dim, 1))
opt_pi = torch.optim.Adam(policy.parameters(), lr=3e-3)
opt_d = torch.optim.RMSprop(discriminator.parameters(), lr=1e-3)


def env_step(state, action):
    position, velocity = state.chunk(2, dim=1)
    velocity = 0.9 * velocity + 0.3 * action.clamp(-2, 2)
    return torch.cat([position + 0.3 * velocity, velocity], dim=1)


def expert(state):
    return -1.5 * state[:, :2] - state[:, 2:] + 0.05 * torch.randn(len(state), 2)


def distribution(states):
    return Normal(policy(states), policy.log_std.exp())


@torch.no_grad()
def rollout(act):
    state, states, actions = torch.randn(n_envs, 4), [], []
    for _ in range(horizon):
        action = act(state)
        states.append(state)
        actions.append(action)
        state = env_step(state, action)
    return torch.cat(states), torch.cat(actions)


def discriminator_loss(states, actions, expert_states, expert_actions):
    learner = discriminator(torch.cat([states, actions], 1))
    demonstrations = discriminator(torch.cat([expert_states, expert_actions], 1))
    ones, zeros = torch.ones_like(learner), torch.zeros_like(learner)
    return F.binary_cross_entropy_with_logits(learner, ones) + F.binary_cross_entropy_with_logits(demonstrations, zeros)


def policy_loss(states, actions):
    with torch.no_grad():
        rewards = -F.logsigmoid(discriminator(torch.cat([states, actions], 1))).squeeze(1)
        returns = rewards.view(horizon, n_envs).flip(0).cumsum(0).flip(0)
        advantages = ((returns - returns.mean(1, keepdim=True)) / (returns.std() + 1e-8)).view(-1)
    return -(distribution(states).log_prob(actions).sum(1) * advantages).mean()


def losses(players, batch):  # see
    return {"D": discriminator_loss(*batch), "policy": policy_loss(*batch[:2])}  # see


watch = gt.watch({"D": discriminator, "policy": policy}, losses, optimizers=[opt_d, opt_pi], log="runs/gail")  # see

for step in range(args.steps):
    expert_states, expert_actions = rollout(expert)
    states, actions = rollout(lambda state: distribution(state).sample())

    disc_loss = discriminator_loss(states, actions, expert_states, expert_actions)
    opt_d.zero_grad()
    disc_loss.backward()
    opt_d.step()

    loss = policy_loss(states, actions)
    opt_pi.zero_grad()
    loss.backward()
    opt_pi.step()

    watch(step, (states, actions, expert_states, expert_actions))  # see
    if step % 100 == 0:
        print(f"[{step}/{args.steps}] discriminator {disc_loss.item():.4f} policy {loss.item():.4f}")
