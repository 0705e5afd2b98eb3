//! Payments as the payment sources of orders: found, listed, and with everything that happened to them.

use aggregates::ids::{MerchantId, OrderId, PaymentId};
use aggregates::payment::{Payment, PaymentEvent};
use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use projections::listed::{self, Listed, Page, Wanted};
use std::collections::HashMap;
use uuid::Uuid;

use super::{Store, Trouble};

/// An event of a payment with its circumstances.
#[derive(Debug, Clone)]
pub struct Told {
    pub event: PaymentEvent,
    /// Its name, as the log has it.
    pub name: String,
    pub event_id: Uuid,
    /// Its place among the payment's events, from 1.
    pub sequence: u64,
    pub recorded_at: DateTime<Utc>,
    /// See [`Actor`](aggregates::metadata::Actor).
    pub actor: String,
    pub key_id: Option<String>,
    pub door: String,
}

impl Store {
    /// The payment of an order of that short id.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn payment_source(
        &self,
        merchant: &MerchantId,
        short_id: &str,
    ) -> Result<Option<Listed>, Trouble> {
        let mut connection = self.pool().acquire().await?;
        Ok(listed::by_short_id(&mut connection, merchant, short_id).await?)
    }

    /// The payments of orders that are wanted.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn payment_sources(
        &self,
        merchant: &MerchantId,
        wanted: &Wanted,
    ) -> Result<Page, Trouble> {
        let mut connection = self.pool().acquire().await?;
        Ok(listed::page(&mut connection, merchant, wanted).await?)
    }

    /// The order of that short id.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn order_by_short_id(
        &self,
        merchant: &MerchantId,
        short_id: &str,
    ) -> Result<Option<OrderId>, Trouble> {
        let mut connection = self.pool().acquire().await?;
        Ok(listed::order_by_short_id(&mut connection, merchant, short_id).await?)
    }

    /// When the first and the last event of an order were recorded.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn times_of_order(
        &self,
        merchant: &MerchantId,
        order: OrderId,
    ) -> Result<Option<(DateTime<Utc>, DateTime<Utc>)>, Trouble> {
        let mut connection = self.pool().acquire().await?;
        Ok(listed::times_of_order(&mut connection, merchant, order).await?)
    }

    /// The events of a payment with their circumstances, oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn payment_story(
        &self,
        merchant: &MerchantId,
        id: PaymentId,
    ) -> Result<Vec<Told>, Trouble> {
        let stream = id.aggregate_id(merchant);
        let recorded = self.reader.read_stream(Payment::TYPE, &stream, 0).await?;
        let told = recorded.iter().map(|it| {
            let mut metadata: HashMap<String, String> = it.metadata_as()?;
            Ok(Told {
                event: self.payments.store().domain_event(it)?,
                name: it.event_type.clone(),
                event_id: it.event_id,
                sequence: it.sequence,
                recorded_at: it.recorded_at,
                actor: metadata.remove("actor").unwrap_or_default(),
                key_id: metadata.remove("key_id"),
                door: metadata.remove("door").unwrap_or_default(),
            })
        });
        told.collect::<Result<_, serde_json::Error>>()
            .map_err(|error| Trouble::Broken(error.into()))
    }
}
