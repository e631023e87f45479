//! Objects that a webhook converts are judged in the version of their request.
//!
//! Upstream has a store for each version of a custom kind: what is written is admitted and validated in the version it
//! came in, and converted when it is stored. Here it is converted first. So the verdict of that version is made before,
//! and told once the object has been admitted; if admission has changed it, it is asked for again.

use crate::resource::Served;
use crate::write;
use meta::field::ErrorList;
use meta::status::Status;
use value::Value;

/// The verdict on an object in the version that it came in.
#[derive(Debug)]
pub(crate) struct Judged {
    verdict: Result<(), Status>,
    converted: Value,
}

impl Judged {
    /// Converts an object to the stored version, with a verdict of its own version if a webhook does that.
    ///
    /// # Errors
    /// The verdict, if it is one that the webhook fails for; else what is wrong with the conversion.
    pub(crate) fn convert(
        served: &Served,
        object: &mut Value,
        judge: &mut dyn FnMut(&Value) -> ErrorList,
    ) -> Result<Option<Self>, Status> {
        if !is_judged(served) {
            return served.to_hub(object).map(|()| None);
        }
        let verdict = write::refuse(served, object, judge(object));
        if let Err(why) = served.to_hub(object) {
            return Err(verdict.err().unwrap_or(why));
        }
        Ok(Some(Self { verdict, converted: object.clone() }))
    }

    /// The verdict, for the object as admission has left it.
    ///
    /// # Errors
    /// 422, or 500 if it cannot be converted back.
    pub(crate) fn tell(
        self,
        served: &Served,
        object: &Value,
        judge: &mut dyn FnMut(&Value) -> ErrorList,
    ) -> Result<(), Status> {
        if *object == self.converted {
            return self.verdict;
        }
        let mut own = object.clone();
        served.try_from_hub(&mut own)?;
        write::refuse(served, &own, judge(&own))
    }
}

/// Whether objects of this version are judged before they are converted, and not as what they are converted to.
pub(crate) fn is_judged(served: &Served) -> bool {
    served.asks_webhook() && !served.is_hub()
}
