//! People who settle by hand what no machine could find out.

use super::World;
use aggregates::ids::IntentionId;
use aggregates::metadata::Actor;
use counterfoil::use_cases::{ByHand, Settler};

/// Somebody at the command line.
pub fn person(name: &str) -> Settler {
    Settler {
        merchant: None,
        actor: Actor {
            name: name.to_owned(),
            key_id: None,
            door: "cli".to_owned(),
        },
        key: None,
    }
}

pub fn happened(stripe_id: &str) -> ByHand {
    ByHand::Happened {
        stripe_id: stripe_id.to_owned(),
    }
}

/// Two people settle it as having happened.
pub async fn settle(world: &World, intention: IntentionId, stripe_id: &str) {
    let (app, because) = (world.app(), "seen in Stripe's dashboard".to_owned());
    app.propose_settlement(person("anna"), intention, happened(stripe_id), because)
        .await
        .unwrap();
    app.approve_settlement(person("ben"), intention)
        .await
        .unwrap();
}
