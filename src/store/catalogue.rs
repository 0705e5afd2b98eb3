//! The catalogue, read from the log: nothing of it is asked for so often that it is kept in memory.

use aggregates::catalogue::{Article, Offer};
use aggregates::ids::{ArticleId, MerchantId, OfferId};
use projections::fold::Versioned;
use std::sync::Arc;

use super::{Store, Trouble};

impl Store {
    /// An offer as it stands, from the log; an empty one where it was never published.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn offer(
        &self,
        merchant: &MerchantId,
        id: OfferId,
    ) -> Result<Arc<Versioned<Offer>>, Trouble> {
        let loaded = self.offers.load(&id.aggregate_id(merchant)).await;
        let (state, version) = loaded.map_err(Trouble::Broken)?;
        Ok(Arc::new(Versioned { state, version }))
    }

    /// An article as it stands, from the log; an empty one where it was never listed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn article(
        &self,
        merchant: &MerchantId,
        id: ArticleId,
    ) -> Result<Arc<Versioned<Article>>, Trouble> {
        let loaded = self.articles.load(&id.aggregate_id(merchant)).await;
        let (state, version) = loaded.map_err(Trouble::Broken)?;
        Ok(Arc::new(Versioned { state, version }))
    }
}
