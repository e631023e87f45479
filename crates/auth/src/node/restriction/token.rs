//! Tokens for the pods of a node, and for nobody else.

use super::{Checked, Plugin, forbid};
use crate::Attributes;
use meta::quote::Quoted;
use value::Value;

impl Plugin<'_> {
    pub(super) fn token(&self) -> Checked {
        let spec = self.write.object.at("spec");
        let reference = spec.at("boundObjectRef");
        let (name, uid) = (reference.at("name").str(), reference.at("uid").str());
        let to_pod = reference.at("apiVersion").str() == "v1" && reference.at("kind").str() == "Pod";
        if !to_pod || name.is_empty() {
            return forbid("node requested token not bound to a pod");
        }
        if uid.is_empty() {
            return forbid("node requested token with a pod binding without a uid");
        }
        let (pod, here) = self.live_pod(name)?;
        if pod.path(&["metadata", "uid"]).str() != uid {
            return forbid(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. \
                 The object might have been deleted and then recreated"
            ));
        }
        if !here {
            return forbid("node requested token bound to a pod scheduled on a different node");
        }
        self.audience(spec.at("audiences").items(), &pod)
    }

    /// A node gets tokens for audiences that the pod's volumes ask for, or that it is allowed to ask for.
    fn audience(&self, audiences: &[Value], pod: &Value) -> Checked {
        let audience = match audiences {
            [] => "",
            [one] => one.str(),
            _ => return forbid("node may only request 0 or 1 audiences"),
        };
        match self.pod_asks_for(pod, audience) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(text) => return forbid(format!("error validating audience {}: {text}", Quoted(audience))),
        }
        let asked = Attributes {
            api_version: "v1",
            ..Attributes::resource(self.write.user, "request-serviceaccounts-token-audience", "", audience)
                .named(self.write.namespace, self.write.name)
        };
        if (self.authorize)(&asked).allowed() {
            return Ok(());
        }
        forbid(format!(
            "audience {} not found in pod spec volume, {} is not authorized to request tokens for this audience",
            Quoted(audience),
            self.write.user.name
        ))
    }

    fn pod_asks_for(&self, pod: &Value, audience: &str) -> Result<bool, String> {
        let namespace = pod.path(&["metadata", "namespace"]).str();
        let mut errors = Vec::new();
        for volume in pod.path(&["spec", "volumes"]).items() {
            let sources = volume.at("projected").at("sources").items();
            let tokens = sources.iter().map(|s| s.at("serviceAccountToken")).filter(|t| !t.is_null());
            if tokens.into_iter().any(|t| t.at("audience").str() == audience) {
                return Ok(true);
            }
            let asks = self.driver(pod, namespace, volume).and_then(|driver| match driver {
                Some(driver) => self.driver_asks_for(&driver, audience),
                None => Ok(false),
            });
            match asks {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(false) } else { Err(crate::rbac::aggregate_texts(&errors)) }
    }

    /// The CSI driver behind a volume, if there is one.
    fn driver(&self, pod: &Value, namespace: &str, volume: &Value) -> Result<Option<String>, String> {
        let claim = volume.at("persistentVolumeClaim");
        let claim = if !volume.path(&["ephemeral", "volumeClaimTemplate"]).is_null() {
            format!("{}-{}", pod.path(&["metadata", "name"]).str(), volume.at("name").str())
        } else if !claim.is_null() {
            claim.at("claimName").str().to_owned()
        } else if !volume.at("csi").is_null() {
            return Ok(Some(volume.at("csi").at("driver").str().to_owned()));
        } else {
            return Ok(migrated_driver(volume).map(str::to_owned));
        };
        let missing = |kind: &str, name: &str| format!("{kind} {} not found", Quoted(name));
        let object = self.lookup.get("persistentvolumeclaims", namespace, &claim);
        let object = object.ok_or_else(|| missing("persistentvolumeclaim", &claim))?;
        let name = object.path(&["spec", "volumeName"]).str();
        let object = self.lookup.get("persistentvolumes", "", name);
        let object = object.ok_or_else(|| missing("persistentvolume", name))?;
        let spec = object.at("spec");
        let driver = spec.at("csi").at("driver").as_str().or_else(|| migrated_driver(spec));
        Ok(driver.map(str::to_owned))
    }

    fn driver_asks_for(&self, driver: &str, audience: &str) -> Result<bool, String> {
        if driver.is_empty() {
            return Ok(false);
        }
        let object = self.lookup.get("csidrivers", "", driver);
        let object =
            object.ok_or_else(|| format!("csidriver.storage.k8s.io {} not found", Quoted(driver)))?;
        let requests = object.path(&["spec", "tokenRequests"]).items();
        Ok(requests.iter().any(|r| r.at("audience").str() == audience))
    }
}

/// The CSI driver that a volume type of old times is served by.
fn migrated_driver(volume: &Value) -> Option<&'static str> {
    let drivers = [
        ("awsElasticBlockStore", "ebs.csi.aws.com"),
        ("azureDisk", "disk.csi.azure.com"),
        ("azureFile", "file.csi.azure.com"),
        ("cinder", "cinder.csi.openstack.org"),
        ("gcePersistentDisk", "pd.csi.storage.gke.io"),
        ("portworxVolume", "pxd.portworx.com"),
        ("vsphereVolume", "csi.vsphere.vmware.com"),
    ];
    drivers.iter().find(|(kind, _)| !volume.at(kind).is_null()).map(|(_, driver)| *driver)
}
