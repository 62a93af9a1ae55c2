//! The wire formats, and a value for each of them.

macro_rules! formats {
    ($($(#[$doc:meta])* $variant:ident = $field:ident,)+) => {
        /// A wire format. Clients of one format receive the same bytes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Format {
            $($(#[$doc])* $variant,)+
        }

        /// One value for each format. A lookup cannot miss and needs no bounds check.
        #[derive(Debug, Default)]
        pub struct PerFormat<T> {
            $($field: T,)+
        }

        impl<T> PerFormat<T> {
            /// The value for `format`.
            pub fn get(&self, format: Format) -> &T {
                match format {
                    $(Format::$variant => &self.$field,)+
                }
            }

            /// The value for `format`, to change it.
            pub fn get_mut(&mut self, format: Format) -> &mut T {
                match format {
                    $(Format::$variant => &mut self.$field,)+
                }
            }
        }
    };
}

formats! {
    /// JSON envelopes on `/ws`.
    Raw = raw,
    /// Socket.IO packets of `/`.
    Root = root,
    /// Socket.IO packets of `/`, each with its publication number for connection state recovery.
    RootNumbered = root_numbered,
    /// Socket.IO packets of `/chat`.
    Chat = chat,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_its_own_value() {
        let all = [Format::Raw, Format::Root, Format::RootNumbered, Format::Chat];
        let mut values = PerFormat::<usize>::default();
        for (index, format) in all.into_iter().enumerate() {
            *values.get_mut(format) = index;
        }
        assert_eq!(all.map(|format| *values.get(format)), [0, 1, 2, 3]);
    }
}
